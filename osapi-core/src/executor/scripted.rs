//! A programmable executor.
