//! LAYER 4: who may use a session. Digests and challenges, the modules of `--auth` and its kin, and where a client's
//! passwords come from (`wire.md` 5.2, `endpoints.md` h).
