//! Whether a connection leads to one server process and stays there, so that a prepared statement can be relied on.
//!
//! A server announces the number of its process at the login, for cancelling. A pooler that lends its server connections
//! from transaction to transaction (PgBouncer, pgcat, Odyssey, …) announces a number of its own making instead. So where
//! the process that answers calls itself by the number that was announced, nobody stands between who could exchange it.
//!
//! The driver keeps the announced number to itself and only writes it into a cancel request; this one goes nowhere.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};

use super::Postgres;
use crate::sql::Sql;

/// Codes that stand where a version stands in a start-up message (PostgreSQL's `pqcomm.h`).
const CANCEL: i32 = 80_877_102;
const SSL: i32 = 80_877_103;

/// How long the answer may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

static PROCESS: Sql = Sql::new("SELECT pg_backend_pid()");

impl Postgres {
    /// Whether the server process that answers is the one that was announced at the login. When in doubt: no.
    pub async fn is_direct(&self) -> bool {
        let announced = announced(self.client().cancel_token());
        let answering = self.client().query_typed(PROCESS.for_postgres(), &[]);
        let both = self.answer(Some(PATIENCE), async { tokio::join!(announced, answering) }.boxed());
        let Ok((announced, answering)) = both.await else { return false };
        let answering = answering.ok().and_then(|rows| rows.first()?.try_get::<_, i32>(0).ok());
        answering.is_some() && announced == answering
    }
}

/// The process number in a connection's cancel request.
async fn announced(token: tokio_postgres::CancelToken) -> Option<i32> {
    let (here, there) = duplex(64);
    // The driver would encrypt the request where it must; `Through` lets it pass as it is.
    let (_, number) = tokio::join!(token.cancel_query_raw(here, Through), read(there));
    number.ok().flatten()
}

async fn read(mut stream: DuplexStream) -> io::Result<Option<i32>> {
    loop {
        let (_length, code) = (stream.read_i32().await?, stream.read_i32().await?);
        match code {
            SSL => stream.write_all(b"S").await?,
            CANCEL => return Ok(Some(stream.read_i32().await?)),
            _ => return Ok(None),
        }
    }
}

/// "TLS" that changes nothing.
struct Through;

impl TlsConnect<DuplexStream> for Through {
    type Stream = Passed;
    type Error = io::Error;
    type Future = Ready<io::Result<Passed>>;

    fn connect(self, stream: DuplexStream) -> Self::Future {
        ready(Ok(Passed(stream)))
    }
}

struct Passed(DuplexStream);

impl AsyncRead for Passed {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, into)
    }
}

impl AsyncWrite for Passed {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

impl TlsStream for Passed {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}
