"""Facts about Gen9's execution units, their messages and the media pipeline that feeds them."""
