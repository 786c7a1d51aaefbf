//! HTTP: which URLs are followed, what is tried again, and when a server is believed.
