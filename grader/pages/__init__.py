"""Pages that people see, signed in through the Hub; forms posted from them."""
