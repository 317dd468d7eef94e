//! Tests of the job model: [`generators`] make jobs with everything that may be recorded and said of them.

mod generators;
mod operation;
mod properties;
mod records;
mod view;
mod words;
