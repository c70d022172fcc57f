//! [`Ticket`]: the right to go on with a session over another connection, and the proof of having it.
//!
//! Both ends agree on a key (X25519, RFC 7748) in the hellos of a session whose client was let in, so that nobody who
//! reads along has it. To go on, the client names the ticket, counts, and signs both (HMAC-SHA256): what was seen once
//! is worth nothing the next time, and a name without the key is worth nothing at all.

use aws_lc_rs::agreement::{EphemeralPrivateKey, UnparsedPublicKey, X25519, agree_ephemeral};
use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use std::fmt;

/// What a ticket is called, which is no secret.
pub type TicketId = [u8; 16];

/// A client's half of the key of a ticket it would like to have.
pub struct TicketRequest {
    private: EphemeralPrivateKey,
    public: Vec<u8>,
}

/// One end of a ticket.
pub struct Ticket {
    id: TicketId,
    key: hmac::Key,
    /// How often it was used.
    turn: u64,
}

/// What a client shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Which ticket.
    pub id: Vec<u8>,
    /// The how-manieth use it is.
    pub turn: u64,
    /// The signature of both, and of `said`.
    pub signature: Vec<u8>,
}

impl TicketRequest {
    /// A fresh one.
    pub fn new() -> Result<Self, Unspecified> {
        let private = EphemeralPrivateKey::generate(&X25519, &SystemRandom::new())?;
        let public = private.compute_public_key()?.as_ref().to_vec();
        Ok(Self { private, public })
    }

    /// What the server has to be told.
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The ticket that a server issued.
    pub fn accept(self, id: TicketId, server: &[u8]) -> Result<Ticket, Unspecified> {
        let client = self.public.clone();
        self.agree(id, server, &client, server)
    }

    fn agree(self, id: TicketId, peer: &[u8], client: &[u8], server: &[u8]) -> Result<Ticket, Unspecified> {
        let peer = UnparsedPublicKey::new(&X25519, peer);
        agree_ephemeral(self.private, peer, Unspecified, |secret| {
            let mut digest = Context::new(&SHA256);
            [secret, client, server, &id]
                .into_iter()
                .for_each(|part| digest.update(part));
            let key = hmac::Key::new(hmac::HMAC_SHA256, digest.finish().as_ref());
            Ok(Ticket { id, key, turn: 0 })
        })
    }
}

impl Ticket {
    /// A ticket for the client that sent this half of a key, and the server's half.
    pub fn issue(client: &[u8]) -> Result<(Self, Vec<u8>), Unspecified> {
        let mut id = TicketId::default();
        getrandom::fill(&mut id).map_err(|_| Unspecified)?;
        let ours = TicketRequest::new()?;
        let server = ours.public.clone();
        let ticket = ours.agree(id, client, client, &server)?;
        Ok((ticket, server))
    }

    /// What it is called.
    pub const fn id(&self) -> &TicketId {
        &self.id
    }

    /// Uses it once more; what is `said` along with the proof is signed.
    pub fn prove(&mut self, said: u64) -> Proof {
        self.turn += 1;
        let signature = hmac::sign(&self.key, &signed(&self.id, self.turn, said));
        Proof {
            id: self.id.to_vec(),
            turn: self.turn,
            signature: signature.as_ref().to_vec(),
        }
    }

    /// Whether that is a proof of having this ticket which was not shown before.
    pub fn check(&mut self, proof: &Proof, said: u64) -> bool {
        let text = signed(&self.id, proof.turn, said);
        let is_valid = proof.id == self.id
            && proof.turn > self.turn
            && hmac::verify(&self.key, &text, &proof.signature).is_ok();
        if is_valid {
            self.turn = proof.turn;
        }
        is_valid
    }
}

fn signed(id: &TicketId, turn: u64, said: u64) -> Vec<u8> {
    [&b"resume"[..], id, &turn.to_be_bytes(), &said.to_be_bytes()].concat()
}

impl fmt::Debug for TicketRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketRequest").finish_non_exhaustive()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { turn, .. } = self;
        f.debug_struct("Ticket")
            .field("turn", turn)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Ticket, Ticket) {
        let request = TicketRequest::new().unwrap();
        let (servers, public) = Ticket::issue(request.public()).unwrap();
        let clients = request.accept(*servers.id(), &public).unwrap();
        (clients, servers)
    }

    #[test]
    fn a_proof_is_good_once() {
        let (mut client, mut server) = pair();
        let first = client.prove(7);
        assert!(server.check(&first, 7));
        assert!(!server.check(&first, 7), "replayed");
        // one was lost on the way
        let _lost = client.prove(7);
        let third = client.prove(9);
        assert!(!server.check(&third, 8), "something else was said");
        assert!(server.check(&third, 9));
    }

    #[test]
    fn without_the_key_there_is_no_proof() {
        let (mut client, mut server) = pair();
        let (mut thief, _) = pair();
        thief.id = client.id;
        assert!(!server.check(&thief.prove(0), 0));
        let mut proof = client.prove(0);
        proof.turn += 1;
        assert!(!server.check(&proof, 0));
        proof.turn -= 1;
        assert!(server.check(&proof, 0));
    }

    #[test]
    fn halves_of_keys_that_are_none_are_refused() {
        for public in [&[][..], &[1; 31], &[0; 32]] {
            assert!(Ticket::issue(public).is_err());
            assert!(TicketRequest::new().unwrap().accept([0; 16], public).is_err());
        }
    }
}
