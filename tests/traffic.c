/* Small traffic programs of the benches and of the tests with live streams.
 *
 *   traffic count PORT                    UDP: says "ready", then at the end of its input how many
 *   traffic udp ADDRESS PORT N [RATE]     UDP: N packets of 18 bytes, RATE a second or full speed;
 *                                         with 0 packets until the end of its input
 *   traffic accept PORT                   TCP: takes and drops connections until killed
 *   traffic connect ADDRESS FIRST N S     TCP: connects to random ports of FIRST..FIRST+N-1 and
 *                                         resets, for S seconds
 *   traffic sink PORT                     TCP: reads and throws away
 *   traffic stream ADDRESS PORT S         TCP: sends for S seconds
 *
 * Each says its figures as one line of JSON. `cpu` is the process's own time in seconds; between
 * namespaces of one machine that holds all of the kernel's work on the way of a packet.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, SIZE = 18, CHUNK = 128 << 10, BACKLOG = 4096 };

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec +
           (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static struct sockaddr_in place(const char *address, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
        die("address");
    return to;
}

static int bound(int kind, int port)
{
    int s = socket(AF_INET, kind, 0), on = 1, room = 16 << 20;
    struct sockaddr_in at = place("0.0.0.0", port);
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    if (bind(s, (struct sockaddr *)&at, sizeof at))
        die("bind");
    return s;
}

static void said(const char *what, long count, double wall, double used)
{
    printf("{\"%s\": %ld, \"wall\": %.6f, \"cpu\": %.6f}\n", what, count, wall, used);
    fflush(stdout);
}

static void count_packets(int port)
{
    int s = bound(SOCK_DGRAM, port);
    char data[BATCH][SIZE + 1];
    struct iovec parts[BATCH];
    struct mmsghdr messages[BATCH] = {0};
    struct pollfd waits[2] = {{.fd = s, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    long received = 0;
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){data[i], sizeof data[i]};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        int got = recvmmsg(s, messages, BATCH, MSG_DONTWAIT, NULL);
        if (got > 0) {
            received += got;
            continue;
        }
        if (waits[1].revents)
            break;
        poll(waits, 2, -1);
    }
    said("received", received, 0, cpu());
}

static void send_packets(const char *address, int port, long count, long rate)
{
    int s = socket(AF_INET, SOCK_DGRAM, 0), batch = rate ? 1 : BATCH;
    struct sockaddr_in to = place(address, port);
    char data[SIZE] = {0};
    struct iovec part = {data, SIZE};
    struct mmsghdr messages[BATCH] = {0};
    if (connect(s, (struct sockaddr *)&to, sizeof to))
        die("connect");
    for (int i = 0; i < BATCH; i++) {
        messages[i].msg_hdr.msg_iov = &part;
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    struct pollfd input = {.fd = 0, .events = POLLIN};
    long sent = 0;
    double begun = now(), used = cpu();
    while (count ? sent < count : sent % BATCH || poll(&input, 1, 0) == 0) {
        if (rate) {
            double due = begun + sent / (double)rate - now();
            if (due > 0)
                usleep(due * 1e6);
        }
        int done = sendmmsg(s, messages, batch, 0);
        /* An ICMP error is of an earlier packet. */
        if (done < 0 && errno != ECONNREFUSED && errno != EPERM && errno != EHOSTUNREACH)
            die("sendmmsg");
        if (done > 0)
            sent += done;
    }
    said("sent", sent, now() - begun, cpu() - used);
}

static void accept_all(int port)
{
    int s = bound(SOCK_STREAM, port);
    if (listen(s, BACKLOG))
        die("listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int one = accept(s, NULL, NULL);
        if (one >= 0)
            close(one);
    }
}

static void connect_all(const char *address, int first, int count, double seconds)
{
    struct linger reset = {1, 0};
    unsigned state = 1;
    long made = 0, failed = 0;
    double begun = now(), used = cpu();
    while ((made + failed) % 64 || now() < begun + seconds) {
        struct sockaddr_in to = place(address, first + rand_r(&state) % count);
        int s = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        if (connect(s, (struct sockaddr *)&to, sizeof to))
            failed++;
        else
            made++;
        close(s);
    }
    if (failed)
        fprintf(stderr, "%ld connections failed\n", failed);
    said("connections", made, now() - begun, cpu() - used);
}

static void sink(int port)
{
    static char data[CHUNK];
    int s = bound(SOCK_STREAM, port);
    if (listen(s, BACKLOG))
        die("listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int one = accept(s, NULL, NULL);
        while (read(one, data, sizeof data) > 0)
            ;
        close(one);
    }
}

static void stream(const char *address, int port, double seconds)
{
    static char data[CHUNK];
    int s = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = place(address, port);
    long sent = 0;
    if (connect(s, (struct sockaddr *)&to, sizeof to))
        die("connect");
    double begun = now(), used = cpu();
    while (now() < begun + seconds) {
        ssize_t done = write(s, data, sizeof data);
        if (done < 0)
            die("write");
        sent += done;
    }
    said("bytes", sent, now() - begun, cpu() - used);
}

int main(int n, char **words)
{
    if (n == 3 && !strcmp(words[1], "count"))
        count_packets(atoi(words[2]));
    else if (n >= 5 && !strcmp(words[1], "udp"))
        send_packets(words[2], atoi(words[3]), atol(words[4]), n > 5 ? atol(words[5]) : 0);
    else if (n == 3 && !strcmp(words[1], "accept"))
        accept_all(atoi(words[2]));
    else if (n == 6 && !strcmp(words[1], "connect"))
        connect_all(words[2], atoi(words[3]), atoi(words[4]), atof(words[5]));
    else if (n == 3 && !strcmp(words[1], "sink"))
        sink(atoi(words[2]));
    else if (n == 5 && !strcmp(words[1], "stream"))
        stream(words[2], atoi(words[3]), atof(words[4]));
    else {
        fprintf(stderr, "see the first lines of the source\n");
        return 2;
    }
    return 0;
}
