//! A server that is none of the operator's: it asks for a password in a way of its choosing and keeps what it is told.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What asks for the password in the clear.
pub(crate) const CLEARTEXT: u8 = 3;

pub(crate) struct Fake {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Fake {
    /// Listens on this machine and asks for what `code` of the protocol means.
    pub(crate) fn start(code: u8) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let told = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = Arc::clone(&told);
                std::thread::spawn(move || {
                    told.lock().unwrap().extend_from_slice(b"connected\n");
                    let _ = serve(stream, code, &told);
                });
            }
        });
        Self { port, heard }
    }

    /// Everything that clients have said so far, each connection beginning with `connected`.
    pub(crate) fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }
}

fn message(stream: &mut TcpStream, told: &Mutex<Vec<u8>>) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; (u32::from_be_bytes(length) as usize).saturating_sub(4).min(10_000)];
    stream.read_exact(&mut body)?;
    told.lock().unwrap().extend_from_slice(&body);
    Ok(body)
}

fn serve(mut stream: TcpStream, code: u8, told: &Mutex<Vec<u8>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(180)))?;
    // Requests for TLS are declined.
    while message(&mut stream, told)?.starts_with(&80_877_103_u32.to_be_bytes()) {
        stream.write_all(b"N")?;
    }
    let salt: &[u8] = match code {
        5 => b"salt",
        10 => b"SCRAM-SHA-256\0\0",
        _ => b"",
    };
    let mut request = vec![b'R'];
    request.extend_from_slice(&(8 + salt.len() as u32).to_be_bytes());
    request.extend_from_slice(&[0, 0, 0, code]);
    request.extend_from_slice(salt);
    if code == 0 {
        request.extend_from_slice(b"Z\0\0\0\x05I");
    }
    stream.write_all(&request)?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    message(&mut stream, told)?;
    let text = b"SFATAL\0VFATAL\0C28P01\0Mno\0\0";
    stream.write_all(b"E")?;
    stream.write_all(&(4 + text.len() as u32).to_be_bytes())?;
    stream.write_all(text)
}
