//! A fleet of separate processes: a real broker, several API servers and agents, each of which may be killed, stopped and started again.

mod any;
mod bad_input;
mod cancel;
mod clients;
mod disk;
pub(crate) mod fleet;
#[cfg(feature = "crash-points")]
mod frozen;
mod keys;
mod killed;
mod ledger;
mod links;
mod marks;
mod membership;
mod minute;
mod outage;
mod output;
mod paused;
mod policy;
mod queue;
mod restore;
mod same;
#[cfg(feature = "crash-points")]
mod walk;

/// The outcome of a chance that a seed decides, so that a run can be repeated (xorshift64*, Vigna 2016).
struct Chance(u64);

impl Chance {
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(high).expect("it has 31 bits") % bound
    }
}
