//! The listening socket.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// An address that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}{}", hint(source, *address))]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// What to do about it, as the end of a sentence; empty if nothing comes to mind.
fn hint(error: &io::Error, address: SocketAddr) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            ": another program uses port {port}; stop it ('ss -ltnp sport = :{port}' names it) or choose another port"
        ),
        io::ErrorKind::PermissionDenied => {
            format!(": port {port} is reserved for root; choose one from 1024 on")
        }
        io::ErrorKind::AddrNotAvailable => {
            ": this machine has no such address ('ip address' lists those that it has)".into()
        }
        _ => String::new(),
    }
}

/// Listens on `address`. Port 0 takes a free one: ask [`TcpListener::local_addr`] which.
///
/// # Errors
/// When the address cannot be listened on: its text names the address and, where there is something to do about it, what.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|source| BindError { address, source })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named_with_what_to_do() {
        let taken = bind((Ipv4Addr::LOCALHOST, 0).into()).await.unwrap();
        let address = taken.local_addr().unwrap();
        let text = bind(address).await.unwrap_err().to_string();
        assert!(text.starts_with(&format!("listen on {address}: another program uses")), "{text}");
        assert!(text.contains("choose another port"), "{text}");
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named() {
        // 192.0.2.0/24 is for documentation (RFC 5737): no machine has it.
        let text = bind(([192, 0, 2, 1], 0).into()).await.unwrap_err().to_string();
        assert!(text.contains("192.0.2.1:0") && text.contains("no such address"), "{text}");
    }
}
