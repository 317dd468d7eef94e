//! The backend between machines: a store on JetStream and a bus on core NATS.

pub mod jwt;
