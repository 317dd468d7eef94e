//! How far the store is known to have come: by the answers of controllers, kept to be shown to them again.

use super::Machine;
use crate::auth::envelope::Signed;
use crate::auth::keys::KeyUse;
use crate::message::{Answer, Position, Seen};

impl Machine {
    /// An authentic answer says where in the store something stands.
    pub(super) fn note_position(&mut self, proof: &Signed<Answer>, position: Position) {
        if self.is_news(&position) {
            let seen = Seen { position, proof: proof.clone() };
            self.header.seen = Some(Box::new(seen));
            self.put_seen_lazily();
        }
    }

    /// What is known goes on to count while its proof does: a store that was put back, or another one, says less than there was.
    fn is_news(&self, position: &Position) -> bool {
        let Some(known) = &self.header.seen else { return true };
        let Position { store, bucket, cursor } = &known.position;
        let is_further =
            *store == position.store && *bucket == position.bucket && *cursor < position.cursor;
        is_further || !self.is_proof(&known.proof)
    }

    /// Whether a controller would believe it by the present keys.
    fn is_proof(&self, proof: &Signed<Answer>) -> bool {
        let ring = self.session.ring();
        ring.is_some_and(|ring| ring.verify(proof, KeyUse::Job).is_ok())
    }
}
