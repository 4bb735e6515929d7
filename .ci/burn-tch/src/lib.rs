//! Empty: no build takes it in.
