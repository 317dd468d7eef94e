//! Bad input gets a clear error and makes no job.

mod files;
mod lines;
mod places;
mod requests;
mod tokens;
