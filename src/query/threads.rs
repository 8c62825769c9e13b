//! Where queries compute: on threads of their own, so that one that holds its thread for long keeps
//! no write, no answer and no timer waiting. Requests to the store are made where the query came
//! from, because connections belong to the runtime that opened them.

use std::sync::Arc;

use bytes::Bytes;
use datafusion::parquet::{
    arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
    errors::ParquetError,
    file::metadata::ParquetMetaData,
};
use futures::{FutureExt, future::BoxFuture};
use tokio::{
    runtime::{Builder, Handle, Runtime, RuntimeFlavor},
    task::{JoinHandle, JoinSet},
};

use crate::{
    model::{Code, Error, Result},
    table::ObjectReader,
};

/// Planning and running recurse over expressions as deep as [`super::limits`] lets them be. Only
/// what is used of it takes memory.
const STACK_BYTES: usize = 32 << 20;

/// The threads of all queries.
#[derive(Debug)]
pub(super) struct Threads {
    runtime: Option<Runtime>,
    /// Of small queries.
    small: Option<Runtime>,
}

impl Threads {
    /// As many threads as there are processors, and as many again for small queries: whichever there are of, they have
    /// all processors, and where there are both, half of them each.
    pub(super) fn new() -> Result<Threads> {
        Ok(Threads { runtime: Some(threads("siltdb-query")?), small: Some(threads("siltdb-small")?) })
    }

    /// Our threads; a caller on a runtime of one thread wants everything there: it owns time.
    fn own(&self) -> Option<&Handle> {
        self.runtime.as_ref().filter(|_| !is_single()).map(Runtime::handle)
    }

    /// Where to spawn.
    pub(super) fn handle(&self) -> Handle {
        self.own().cloned().unwrap_or_else(Handle::current)
    }

    /// Where to spawn what is small.
    pub(super) fn handle_of_small(&self) -> Handle {
        let own = self.small.as_ref().filter(|_| !is_single());
        own.map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }

    /// Runs work that recurses deeply; `None` if no thread could be had for it.
    pub(super) fn spawn_with_large_stack<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<Option<T>> {
        match self.own() {
            // Those for blocking work have the same stack as the others, and are there already.
            Some(own) => own.spawn_blocking(move || Some(work())),
            None => Handle::current().spawn_blocking(move || {
                let thread = std::thread::Builder::new().name("siltdb-plan".to_owned()).stack_size(STACK_BYTES);
                thread.spawn(work).ok()?.join().ok()
            }),
        }
    }
}

impl Drop for Threads {
    /// Without waiting: it may be dropped where nothing may block.
    fn drop(&mut self) {
        for runtime in [self.runtime.take(), self.small.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

fn is_single() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}

fn threads(name: &str) -> Result<Runtime> {
    Builder::new_multi_thread()
        .thread_name(name)
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build()
        .map_err(|error| Error::new(Code::Unavailable, format!("no threads for queries: {error}")))
}

/// A reader whose requests are made on another runtime.
pub(super) struct IoRuntimeReader {
    reader: ObjectReader,
    runtime: Handle,
}

impl IoRuntimeReader {
    pub(super) fn new(reader: ObjectReader, runtime: Handle) -> IoRuntimeReader {
        IoRuntimeReader { reader, runtime }
    }

    /// Runs `request` over there. Dropping the future cancels it.
    async fn on_io_runtime<T: Send + 'static>(
        &mut self,
        request: impl for<'a> FnOnce(&'a mut ObjectReader) -> BoxFuture<'a, Result<T, ParquetError>> + Send + 'static,
    ) -> Result<T, ParquetError> {
        let mut reader = self.reader.clone();
        let mut task = JoinSet::new();
        task.spawn_on(
            async move {
                let answer = request(&mut reader).await;
                (reader, answer)
            },
            &self.runtime,
        );
        match task.join_next().await {
            Some(Ok((reader, answer))) => {
                self.reader = reader;
                answer
            }
            Some(Err(error)) => Err(ParquetError::External(Box::new(error))),
            None => Err(ParquetError::General("a request was never made".to_owned())),
        }
    }
}

impl AsyncFileReader for IoRuntimeReader {
    fn get_bytes(&mut self, range: std::ops::Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.on_io_runtime(move |reader| reader.get_bytes(range)).boxed()
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<std::ops::Range<u64>>,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        self.on_io_runtime(move |reader| reader.get_byte_ranges(ranges)).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        self.on_io_runtime(|reader| reader.get_metadata(None)).boxed()
    }
}
