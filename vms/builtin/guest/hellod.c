/*
 * Answers HTTP on port 80 with who asks whom, and echoes UDP on port 7 (RFC 862).
 * Each HTTP connection is a child of its own with a deadline, so a slow client keeps nobody waiting.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HTTP_PORT = 80, ECHO_PORT = 7, CHILDREN_MAX = 64, REQUEST_SECONDS = 10 };

static int listen_on(int type, int port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	int yes = 1;
	int fd = socket(AF_INET, type, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
	    bind(fd, (struct sockaddr *)&any, sizeof any) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 128) < 0)) {
		perror("hellod");
		exit(1);
	}
	return fd;
}

static void echo_datagrams(int fd)
{
	static char datagram[65536];

	for (;;) {
		struct sockaddr_in client;
		socklen_t length = sizeof client;
		ssize_t got = recvfrom(fd, datagram, sizeof datagram, 0, (struct sockaddr *)&client, &length);

		if (got >= 0)
			sendto(fd, datagram, got, 0, (struct sockaddr *)&client, length);
	}
}

/* Reads up to the empty line that ends the head. Returns 0 when the client sent none. */
static int read_head(int fd, char *head, size_t size)
{
	size_t used = 0;

	while (used < size - 1) {
		ssize_t got = read(fd, head + used, size - 1 - used);

		if (got <= 0)
			return 0;
		used += got;
		head[used] = '\0';
		if (strstr(head, "\r\n\r\n") || strstr(head, "\n\n"))
			return 1;
	}
	return 1;
}

static void answer(int fd)
{
	char head[8192], name[65] = "", ours[INET_ADDRSTRLEN], theirs[INET_ADDRSTRLEN], body[512], reply[1024];
	struct sockaddr_in me = { 0 }, you = { 0 };
	socklen_t my_length = sizeof me, your_length = sizeof you;
	int length;

	alarm(REQUEST_SECONDS);
	if (!read_head(fd, head, sizeof head))
		return;
	gethostname(name, sizeof name - 1);
	getsockname(fd, (struct sockaddr *)&me, &my_length);
	getpeername(fd, (struct sockaddr *)&you, &your_length);
	inet_ntop(AF_INET, &me.sin_addr, ours, sizeof ours);
	inet_ntop(AF_INET, &you.sin_addr, theirs, sizeof theirs);
	length = snprintf(body, sizeof body, "Hello from %s\nmy address: %s\nyour address: %s:%d\n", name, ours,
			  theirs, ntohs(you.sin_port));
	length = snprintf(reply, sizeof reply,
			  "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n"
			  "Cache-Control: no-store\r\nConnection: close\r\n\r\n%s",
			  length, strncmp(head, "HEAD ", 5) ? body : "");
	if (write(fd, reply, length) == length)
		shutdown(fd, SHUT_WR);
	while (read(fd, head, sizeof head) > 0)
		; /* closing with unread data would reset the connection and lose the answer */
}

static void serve(int listener)
{
	int children = 0;

	for (;;) {
		int fd;

		while (children > 0 && waitpid(-1, NULL, children < CHILDREN_MAX ? WNOHANG : 0) > 0)
			children--;
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		switch (fork()) {
		case 0:
			close(listener);
			answer(fd);
			_exit(0);
		case -1:
			break;
		default:
			children++;
		}
		close(fd);
	}
}

int main(void)
{
	int listener = listen_on(SOCK_STREAM, HTTP_PORT);
	int echo = listen_on(SOCK_DGRAM, ECHO_PORT);

	/* The sockets accept from here on, so whoever started us may go ahead. */
	if (daemon(0, 0) < 0)
		return 1;
	if (fork() == 0)
		echo_datagrams(echo);
	serve(listener);
}
