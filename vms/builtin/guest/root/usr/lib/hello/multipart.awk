# Cuts a MIME multipart into files `to`.1, `to`.2 … without their headers (RFC 2046; 7bit and 8bit parts only).
!boundary && match($0, /boundary="?[^";]+/) {
	boundary = substr($0, RSTART, RLENGTH)
	sub(/boundary="?/, "", boundary)
	next
}
{ sub(/\r$/, "") }
boundary && index($0, "--" boundary) == 1 { part++; header = 1; next }
part && header { if ($0 == "") header = 0; next }
part { print > (to "." part) }
