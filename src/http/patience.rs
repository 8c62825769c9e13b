//! A connection that is given up when its client takes hardly anything of what it is sent.
//!
//! Without it an answer waits in memory for as long as its client likes: nothing else times what has
//! been computed and is on its way, be it a result, an error or a ping.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes a second that a client has to take while something waits for it.
const MINIMUM_RATE: u64 = 1 << 10;
/// The longest window once the server stops: who does not read keeps nobody waiting.
const WINDOW_OF_STOP: Duration = Duration::from_secs(2);

/// A stream whose writes fail once a window of time has passed in which less than [`MINIMUM_RATE`] was taken.
/// Only time in which a write waits counts: nobody is given up because there is nothing to send.
pub struct Patient<S> {
    stream: S,
    window: Duration,
    stopping: watch::Receiver<bool>,
    waiting: Option<Waiting>,
}

/// A client that is waited for.
struct Waiting {
    /// When this window began, and what was taken since.
    began: Instant,
    taken: u64,
    alarm: Pin<Box<Sleep>>,
}

impl<S> Patient<S> {
    /// `window` is how long a client may pause; `stopping` turns true when the server is about to end.
    pub fn new(stream: S, window: Duration, stopping: watch::Receiver<bool>) -> Patient<S> {
        Patient { stream, window, stopping, waiting: None }
    }

    /// What becomes of a write: as it went, unless it has waited for too long.
    fn judge(&mut self, context: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match (&written, &mut self.waiting) {
            (Poll::Pending, _) => self.wait(context).map(Err),
            (Poll::Ready(Ok(bytes)), Some(waiting)) => {
                waiting.taken += *bytes as u64;
                written
            }
            _ => written,
        }
    }

    /// Ready when the client's time is over.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let window = if *self.stopping.borrow() { self.window.min(WINDOW_OF_STOP) } else { self.window };
        let now = Instant::now();
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            began: now,
            taken: 0,
            alarm: Box::pin(sleep_until(now + window)),
        });
        loop {
            let due = waiting.began + window;
            if waiting.alarm.deadline() != due {
                waiting.alarm.as_mut().reset(due);
            }
            ready!(waiting.alarm.as_mut().poll(context));
            if u128::from(waiting.taken) * 1_000 < u128::from(MINIMUM_RATE) * window.as_millis() {
                tracing::info!(?window, bytes = waiting.taken, "a client stopped taking its answer");
                let message = format!("the client took {} bytes in {window:?}", waiting.taken);
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, message));
            }
            (waiting.began, waiting.taken) = (Instant::now(), 0);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let patient = self.get_mut();
        let written = Pin::new(&mut patient.stream).poll_write(context, bytes);
        patient.judge(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let patient = self.get_mut();
        let written = Pin::new(&mut patient.stream).poll_write_vectored(context, slices);
        patient.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes once it has handed over all there is, so nobody is waited for any more.
    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let patient = self.get_mut();
        ready!(Pin::new(&mut patient.stream).poll_flush(context))?;
        patient.waiting = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn pair() -> (Patient<DuplexStream>, DuplexStream, watch::Sender<bool>) {
        let (server, client) = duplex(4 << 10);
        let (stop, stopping) = watch::channel(false);
        (Patient::new(server, WINDOW, stopping), client, stop)
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_up() {
        let (mut server, _client, _stop) = pair();
        let began = Instant::now();
        let error = server.write_all(&[0; 64 << 10]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((WINDOW..WINDOW * 2).contains(&began.elapsed()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_a_byte_now_and_then_is_given_up_too() {
        let (mut server, mut client, _stop) = pair();
        let reading = tokio::spawn(async move {
            while client.read_u8().await.is_ok() {
                tokio::time::sleep(WINDOW / 10).await;
            }
        });
        assert_eq!(server.write_all(&[0; 64 << 10]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(server);
        reading.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_gets_all() {
        let (mut server, mut client, _stop) = pair();
        let reading = tokio::spawn(async move {
            let mut read = 0;
            let mut piece = [0; 2 << 10];
            while let Ok(bytes) = client.read(&mut piece).await
                && bytes > 0
            {
                read += bytes;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            read
        });
        for _ in 0..4 {
            server.write_all(&[0; 256 << 10]).await.unwrap();
            server.flush().await.unwrap();
            // Between answers nobody is waited for.
            tokio::time::sleep(WINDOW * 3).await;
        }
        drop(server);
        assert_eq!(reading.await.unwrap(), 1 << 20);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_waits_for_nobody_who_does_not_read() {
        let (mut server, _client, stop) = pair();
        stop.send_replace(true);
        let began = Instant::now();
        assert!(server.write_all(&[0; 64 << 10]).await.is_err());
        assert!(began.elapsed() < WINDOW_OF_STOP * 2, "{:?}", began.elapsed());
    }
}
