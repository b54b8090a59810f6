//! The disk threads: blocks, small files and syncs, beside the receipt of the next bytes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use super::StorageError;
use super::block::Block;
use super::file::{NewFile, OpenFile};

/// Threads that write and sync. They wait for the device nearly all the time; several let small files'
/// syncs share one journal commit while a large file's blocks go on.
const THREADS: usize = 4;

/// Blocks that exist at most, filled or being written: the bulk of the memory limit.
const BLOCKS_MAX: usize = 16;

/// Jobs that wait at most. Small files are the largest, so with their size limit this bounds memory.
const JOBS_MAX: usize = 64;

/// Finished files that one thread syncs in a row. The first sync of the row commits the file system's
/// journal for all of them; the bound keeps the number of open files small.
const SYNC_BATCH_MAX: usize = 64;

/// Whether large files are written with direct I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectIo {
    /// Where the file system supports it.
    Auto,
    /// Never.
    Off,
}

/// Which files are synced when they are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSyncs {
    /// None.
    None,
    /// Every file.
    All,
    /// Large files, and so many small ones. Whoever ends the work syncs the file systems.
    Some {
        /// Small files that are synced; of those behind them, only the writing back is begun.
        small_files_max: usize,
    },
}

/// How files are written.
#[derive(Clone, Copy, Debug)]
pub struct DiskConfig {
    /// Which files are synced when they are complete.
    pub syncs: FileSyncs,
    /// Whether large files may go round the page cache.
    pub direct_io: DirectIo,
}

/// The disk threads of one backup. Dropping it gives the work up and waits for what is under way.
#[derive(Debug)]
pub struct Disk {
    handle: Option<DiskHandle>,
    threads: Vec<JoinHandle<()>>,
    failure: Arc<Failure>,
    /// Small files that all threads have written, where they are counted.
    small_files: Arc<AtomicUsize>,
}

/// A way to hand work to the disk threads; the threads end when the last one is gone.
#[derive(Clone, Debug)]
pub struct DiskHandle {
    config: DiskConfig,
    jobs: Sender<Job>,
    free_blocks: Receiver<Block>,
    failure: Arc<Failure>,
}

/// Work for a disk thread.
pub(super) enum Job {
    /// Write a block and give it back.
    WriteBlock { file: Arc<OpenFile>, block: Block, offset: u64 },
    /// Let go of a file; whoever does so last completes it.
    Release(Arc<OpenFile>),
    /// Create, write and complete a small file.
    WriteSmallFile { path: PathBuf, mode: u32, contents: Vec<u8> },
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

/// Whether there is any use in going on, and the first failure of any disk thread.
#[derive(Debug, Default)]
struct Failure {
    /// Something failed, or the disk was dropped before its work was done.
    is_hopeless: AtomicBool,
    error: Mutex<Option<StorageError>>,
}

impl Failure {
    fn record(&self, error: StorageError) {
        let mut first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
        self.give_up();
    }

    fn give_up(&self) {
        self.is_hopeless.store(true, Ordering::Release);
    }

    fn is_hopeless(&self) -> bool {
        self.is_hopeless.load(Ordering::Acquire)
    }

    fn check(&self) -> Result<(), StorageError> {
        if !self.is_hopeless() {
            return Ok(());
        }
        let first = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        first.clone().map_or(Ok(()), Err)
    }
}

impl Disk {
    /// Starts the threads.
    ///
    /// # Errors
    /// If the operating system gives no threads.
    pub fn start(config: DiskConfig) -> std::io::Result<Disk> {
        let (jobs, queue) = bounded(JOBS_MAX);
        let (returned, free_blocks) = bounded(BLOCKS_MAX);
        for _ in 0..BLOCKS_MAX {
            // Has room: the channel is as large as the pool.
            let _ = returned.send(Block::new());
        }
        let failure = Arc::new(Failure::default());
        // The only sender of jobs, so that dropping the disk ends the threads, also on the way out of here.
        let handle = DiskHandle { config, jobs, free_blocks, failure: Arc::clone(&failure) };
        let small_files = Arc::new(AtomicUsize::new(0));
        let mut disk = Disk {
            handle: Some(handle),
            threads: Vec::new(),
            failure: Arc::clone(&failure),
            small_files: Arc::clone(&small_files),
        };
        for index in 0..THREADS {
            let thread = DiskThread {
                syncs: config.syncs,
                small_files: Arc::clone(&small_files),
                queue: queue.clone(),
                returned: returned.clone(),
                failure: Arc::clone(&failure),
                finished: Vec::with_capacity(SYNC_BATCH_MAX),
            };
            let builder = std::thread::Builder::new().name(format!("disk-{index}"));
            disk.threads.push(builder.spawn(move || thread.run())?);
        }
        Ok(disk)
    }

    /// Returns a way to hand work to the threads.
    pub fn handle(&self) -> DiskHandle {
        self.handle
            .clone()
            .expect("the handle is only taken by finish and drop, which end the disk")
    }

    /// Waits until all work is done and every file is complete, synced if that was asked for. All other
    /// handles must be gone, or this waits for them. Returns how many small files are still to be synced, see
    /// [`FileSyncs::Some`].
    ///
    /// # Errors
    /// The first failure of any job.
    pub fn finish(mut self) -> Result<usize, StorageError> {
        let syncs = self.handle().config.syncs;
        self.join();
        self.failure.check()?;
        let small_files = self.small_files.load(Ordering::Relaxed);
        Ok(match syncs {
            FileSyncs::Some { small_files_max } => small_files.saturating_sub(small_files_max),
            FileSyncs::None | FileSyncs::All => 0,
        })
    }

    fn join(&mut self) {
        self.handle = None;
        for thread in self.threads.drain(..) {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Only `finish` has taken all threads; else the work is given up.
        if !self.threads.is_empty() {
            self.failure.give_up();
        }
        if !std::thread::panicking() {
            self.join();
        }
    }
}

impl DiskHandle {
    /// Returns how files are written.
    pub fn config(&self) -> DiskConfig {
        self.config
    }

    /// Says whether all jobs so far went well.
    ///
    /// # Errors
    /// The first failure of any job.
    pub fn check(&self) -> Result<(), StorageError> {
        self.failure.check()
    }

    /// Hands over a job; waits while the queue is full.
    pub(super) fn submit(&self, job: Job) -> Result<(), StorageError> {
        self.check()?;
        // The threads take jobs until all senders are gone, and this is one.
        self.jobs.send(job).expect("disk threads live as long as a handle");
        Ok(())
    }

    /// Waits for a free block: this is where a slow disk holds the stream back.
    pub(super) fn take_block(&self) -> Result<Block, StorageError> {
        self.check()?;
        Ok(self.free_blocks.recv().expect("disk threads return every block"))
    }
}

struct DiskThread {
    syncs: FileSyncs,
    small_files: Arc<AtomicUsize>,
    queue: Receiver<Job>,
    returned: Sender<Block>,
    failure: Arc<Failure>,
    /// Files that are written, and whether each is to be synced: put off until there is nothing to write.
    finished: Vec<(OpenFile, bool)>,
}

impl DiskThread {
    fn run(mut self) {
        loop {
            let job = match self.queue.try_recv() {
                Ok(job) => Ok(job),
                Err(TryRecvError::Empty) => {
                    self.complete_files();
                    self.queue.recv()
                }
                Err(TryRecvError::Disconnected) => break,
            };
            let Ok(job) = job else { break };
            if let Err(error) = self.perform(job) {
                self.failure.record(error);
            }
            if self.finished.len() >= SYNC_BATCH_MAX {
                self.complete_files();
            }
        }
        self.complete_files();
    }

    /// Does a job. When all is lost, jobs are only taken so that nobody waits for the queue.
    fn perform(&mut self, job: Job) -> Result<(), StorageError> {
        let is_hopeless = self.failure.is_hopeless();
        match job {
            Job::WriteBlock { file, mut block, offset } => {
                let outcome =
                    if is_hopeless { Ok(()) } else { file.write_block(&mut block, offset) };
                block.clear();
                // The pool has room for every block that exists.
                let _ = self.returned.send(block);
                self.release(file);
                outcome
            }
            Job::Release(file) => {
                self.release(file);
                Ok(())
            }
            Job::WriteSmallFile { .. } if is_hopeless => Ok(()),
            Job::WriteSmallFile { path, mode, contents } => {
                let file = NewFile::create(path, mode)?;
                file.write_at(&contents, 0)?;
                let file = OpenFile::buffered(file);
                file.set_final_size(contents.len() as u64);
                self.finished.push((file, self.syncs_small_file()));
                Ok(())
            }
        }
    }

    fn release(&mut self, file: Arc<OpenFile>) {
        let is_synced = self.syncs != FileSyncs::None;
        self.finished.extend(Arc::into_inner(file).map(|file| (file, is_synced)));
    }

    /// Counts a small file, and says whether it is synced by itself.
    fn syncs_small_file(&self) -> bool {
        match self.syncs {
            FileSyncs::None => false,
            FileSyncs::All => true,
            FileSyncs::Some { small_files_max } => {
                self.small_files.fetch_add(1, Ordering::Relaxed) < small_files_max
            }
        }
    }

    /// Completes the files that are there.
    ///
    /// A file system that puts off where contents go until they are written (ext4, xfs) would decide that for one
    /// file after the other, each in a journal commit of its own. So all of them are begun to be written first.
    fn complete_files(&mut self) {
        if self.syncs != FileSyncs::None {
            self.finished.iter().for_each(|(file, _)| file.start_writing_back());
        }
        for (file, is_synced) in self.finished.drain(..) {
            if !self.failure.is_hopeless()
                && let Err(error) = file.complete(is_synced)
            {
                self.failure.record(error);
            }
        }
    }
}
