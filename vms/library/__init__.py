"""The image library: where images come in, are checked, converted and kept for hosts to fetch.

Its worker runs beside the control worker, without Django and without the database: what strangers
send is read here and nowhere else.
"""
