//! Codecs and framed streams.
