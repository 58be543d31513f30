# Turns our part of #cloud-config into orders, one a line: VERB NAME VALUE. See `configure` for what is understood.

function bare(text) {
	sub(/^[ \t]+/, "", text)
	sub(/[ \t\r]+$/, "", text)
	if (text ~ /^".*"$/ || text ~ /^'.*'$/)
		text = substr(text, 2, length(text) - 2)
	return text
}

function account(name) {
	return name == "default" || name == "" ? own : name
}

function keys_of(name, list,    parts, count, i) {
	gsub(/^ *\[|\] *$/, "", list)
	count = split(list, parts, /, */)
	for (i = 1; i <= count; i++)
		if (bare(parts[i]) != "")
			print "key", account(name), bare(parts[i])
}

function pair(line,    colon) {
	colon = index(line, ":")
	if (colon > 1)
		print password_verb(substr(line, colon + 1)), account(substr(line, 1, colon - 1)), substr(line, colon + 1)
}

function password_verb(secret) {
	return secret ~ /^\$[0-9a-z]+\$/ ? "hash" : "text"
}

# chpasswd names a user and a password on lines of their own, in either order.
function flush_chpasswd() {
	if (changed != "" && secret != "")
		print password_verb(secret), account(changed), secret
	changed = secret = ""
}

BEGIN { own = "guest" }

/^[ \t]*(#|$)/ { next }

{
	indent = match($0, /[^ ]/) - 1
	item = 0
	line = bare($0)
	if (line ~ /^- /) {
		item = 1
		line = bare(substr(line, 3))
	}
	colon = index(line, ":")
	key = value = ""
	if (line ~ /^[A-Za-z_-]+:( |$)/) {
		key = substr(line, 1, colon - 1)
		gsub(/-/, "_", key)
		value = bare(substr(line, colon + 1))
	}
}

indent == 0 && !item {
	flush_chpasswd()
	section = key
	list = ""
	user = ""
	if (key == "hostname") print "hostname", value
	if (key == "password") print password_verb(value), own, value
	if (key == "ssh_authorized_keys") keys_of("default", value)
	next
}

section == "user" && key == "name" { print "user", own = value; next }

section == "ssh_authorized_keys" && item { print "key", own, line; next }

section == "runcmd" && item { print "run", line; next }

section == "users" && item && (key == "name" || key == "") && !(list == "keys" && indent > user_indent) {
	user = account(key == "name" ? value : line)
	user_indent = indent
	list = ""
	print "user", user
	next
}

section == "users" && item && list == "keys" { print "key", user, line; next }

section == "users" {
	list = ""
	if (key == "ssh_authorized_keys") {
		list = "keys"
		keys_of(user, value)
	}
	if (key == "passwd" || key == "hashed_passwd") print "hash", user, value
	if (key == "plain_text_passwd") print "text", user, value
	next
}

section == "chpasswd" && (key == "users" || key == "list") { list = key; next }

section == "chpasswd" && list == "list" { pair(line); next }

section == "chpasswd" && list == "users" {
	if (item) flush_chpasswd()
	if (key == "name") changed = value
	if (key == "password") secret = value
}

END { flush_chpasswd() }
