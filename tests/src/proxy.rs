//! A link that can be bad: a TCP proxy that cuts, delays, swallows, or lets one byte a second through, in one direction or both.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Between two looks at what is to be done with bytes that do not come.
const LOOK: Duration = Duration::from_millis(50);
/// A byte that trickles takes so long.
const TRICKLE: Duration = Duration::from_secs(1);

/// What is done with the bytes of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// They pass.
    None,
    /// The connection is closed, and every new one as well.
    Cut,
    /// They pass so much later.
    Delay(Duration),
    /// They are taken and never passed, and no end either. A connection to which that has happened stays so, as one does that a firewall on the
    /// way has forgotten: only a new one gets through again.
    Swallow,
    /// One of them passes in a second.
    Trickle,
}

/// A proxy. Dropping it closes every connection.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    link: Arc<Link>,
}

#[derive(Debug)]
struct Link {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    to_target: Fault,
    to_client: Fault,
    /// How often all connections were cut: those of before are.
    cuts: usize,
    is_closed: bool,
}

#[derive(Debug, Clone, Copy)]
enum Toward {
    Target,
    Client,
}

impl Proxy {
    /// A good link to `target`, an address like `127.0.0.1:4222`.
    #[must_use]
    pub fn start(target: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there are free ports");
        let address = listener.local_addr().expect("it is bound");
        let (to_target, to_client) = (Fault::None, Fault::None);
        let state = State { to_target, to_client, cuts: 0, is_closed: false };
        let link = Arc::new(Link { state: Mutex::new(state), changed: Condvar::new() });
        let (target, accepting) = (target.to_owned(), Arc::clone(&link));
        thread::spawn(move || accept(&listener, &target, &accepting));
        Self { address, link }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The same as the address of a NATS server.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// From now on this is done with the bytes of each direction.
    pub fn set(&self, to_target: Fault, to_client: Fault) {
        let mut state = self.link.lock();
        (state.to_target, state.to_client) = (to_target, to_client);
        state.cuts += usize::from([to_target, to_client].contains(&Fault::Cut));
        self.link.changed.notify_all();
    }

    /// Nothing bad is done any more.
    pub fn heal(&self) {
        self.set(Fault::None, Fault::None);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.link.lock().is_closed = true;
        self.link.changed.notify_all();
        // It wakes whoever accepts; if it cannot, nobody accepts any more.
        drop(TcpStream::connect(self.address));
    }
}

impl Link {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    /// What is done with bytes in this direction of a connection that was made after so many cuts; none once it is over.
    fn fault(&self, toward: Toward, cuts: usize) -> Option<Fault> {
        let state = self.lock();
        let fault = match toward {
            Toward::Target => state.to_target,
            Toward::Client => state.to_client,
        };
        (!state.is_closed && state.cuts == cuts && fault != Fault::Cut).then_some(fault)
    }

    /// Waits for so long, or until something else is done.
    fn wait(&self, time: Duration) {
        let state = self.lock();
        drop(self.changed.wait_timeout(state, time).expect("nobody panics with it"));
    }
}

fn accept(listener: &TcpListener, target: &str, link: &Arc<Link>) {
    for client in listener.incoming().flatten() {
        let (is_closed, cuts) = {
            let state = link.lock();
            (state.is_closed, state.cuts)
        };
        if is_closed {
            return;
        }
        // Whose target is away finds its connection closed.
        let Ok(target) = TcpStream::connect(target) else { continue };
        for (from, to, toward) in
            [(&client, &target, Toward::Target), (&target, &client, Toward::Client)]
        {
            let ends = from.try_clone().and_then(|from| Ok((from, to.try_clone()?)));
            let (from, to) = ends.expect("there are descriptors left");
            let link = Arc::clone(link);
            thread::spawn(move || {
                // How a connection ends is for its two ends to tell.
                drop(pump(&from, &to, toward, cuts, &link));
                drop((from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both)));
            });
        }
    }
}

/// Passes bytes until an end, or an error.
fn pump(
    mut from: &TcpStream,
    mut to: &TcpStream,
    toward: Toward,
    cuts: usize,
    link: &Link,
) -> io::Result<()> {
    from.set_read_timeout(Some(LOOK))?;
    let (mut buffer, mut is_dead) = (vec![0; 64 * 1024], false);
    while let Some(fault) = link.fault(toward, cuts) {
        let most = if fault == Fault::Trickle { 1 } else { buffer.len() };
        let read = match from.read(&mut buffer[..most]) {
            Ok(0) if is_dead || fault == Fault::Swallow => {
                is_dead = true;
                link.wait(LOOK);
                continue;
            }
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        match link.fault(toward, cuts) {
            Some(Fault::Swallow) => is_dead = true,
            Some(Fault::Delay(time)) => link.wait(time),
            Some(Fault::Trickle) => link.wait(TRICKLE),
            Some(Fault::None | Fault::Cut) | None => {}
        }
        if !is_dead {
            to.write_all(&buffer[..read])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection through a proxy, and its other end.
    fn through(proxy: &Proxy, target: &TcpListener) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(proxy.address).unwrap();
        let (server, _) = target.accept().unwrap();
        (client, server)
    }

    fn says(mut one: &TcpStream, mut other: &TcpStream, word: &[u8; 4]) {
        let mut heard = [0; 4];
        one.write_all(word).unwrap();
        other.read_exact(&mut heard).unwrap();
        assert_eq!(heard, *word);
    }

    fn hears_nothing(mut stream: &TcpStream) {
        stream.set_read_timeout(Some(2 * LOOK)).unwrap();
        let error = stream.read(&mut [0; 4]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        stream.set_read_timeout(None).unwrap();
    }

    #[test]
    fn each_direction_has_its_own_fault() {
        let target = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let proxy = Proxy::start(&target.local_addr().unwrap().to_string());
        let (client, server) = through(&proxy, &target);
        says(&client, &server, b"ping");
        says(&server, &client, b"pong");

        proxy.set(Fault::Swallow, Fault::Delay(LOOK));
        (&client).write_all(b"lost").unwrap();
        hears_nothing(&server);
        says(&server, &client, b"late");
        proxy.heal();
        // What has lost something is dead; another one is not.
        (&client).write_all(b"lost").unwrap();
        hears_nothing(&server);
        client.shutdown(Shutdown::Write).unwrap();
        hears_nothing(&server);
        let (client, server) = through(&proxy, &target);
        says(&client, &server, b"here");

        proxy.set(Fault::Trickle, Fault::None);
        says(&client, &server, b"drip");
        proxy.set(Fault::None, Fault::Cut);
        assert_eq!((&client).read(&mut [0; 4]).unwrap(), 0);
        let mut refused = TcpStream::connect(proxy.address).unwrap();
        assert!(refused.read(&mut [0; 4]).is_ok_and(|read| read == 0));
    }
}
