//! TLS: every way in which a connection cannot be made safe, and what cures it.
