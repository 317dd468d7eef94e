//! Chance that can be repeated.

use std::sync::{Mutex, PoisonError};

/// Pseudo-random numbers from a seed (SplitMix64, Steele, Lea and Flood, 2014). For faults and never for secrets.
#[derive(Debug)]
pub struct Dice(Mutex<u64>);

impl Dice {
    /// The numbers that follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// The next number.
    pub fn roll(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&self, end: u64) -> u64 {
        self.roll().checked_rem(end).unwrap_or(0)
    }

    /// True in a share of `rate` of all calls: never at 0, always at 1.
    pub fn chance(&self, rate: f64) -> bool {
        // The upper 53 bits are what an f64 holds exactly.
        let share = (self.roll() >> 11) as f64 / (1_u64 << 53) as f64;
        share < rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64() {
        // The first numbers of the reference implementation for the seed 1234567.
        let dice = Dice::new(1_234_567);
        assert_eq!(dice.roll(), 6_457_827_717_110_365_317);
        assert_eq!(dice.roll(), 3_203_168_211_198_807_973);
        assert_eq!(dice.roll(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn chance_keeps_its_rate() {
        let dice = Dice::new(1);
        let share = |rate| (0..10_000).filter(|_| dice.chance(rate)).count();
        assert_eq!((share(0.0), share(1.0)), (0, 10_000));
        assert!((2800..3200).contains(&share(0.3)));
    }
}
