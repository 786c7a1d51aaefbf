//! Reads the dynamic loader that an ELF executable asks for, while the executable streams by.
//!
//! The kernel reads the path from the file at `p_offset` of the first `PT_INTERP` (gABI chapter 5, "Program
//! Interpreter"); a program without one is static.

use super::executable::NotExecutable;
use crate::project::values::LoaderPath;

/// Program headers that are read. Real ones are at the beginning, and a dozen.
const MOST_HEAD: usize = 64 << 10;

/// `PATH_MAX`, the kernel's limit.
const LONGEST_PATH: usize = 4096;

const PROGRAM_HEADER: usize = 56;

/// Feed it the file from its beginning.
#[derive(Default)]
pub(super) struct LoaderScan {
    /// The beginning of the file, until the program headers are complete.
    head: Vec<u8>,
    state: ScanState,
    /// Bytes seen so far.
    position: u64,
}

#[derive(Default)]
enum ScanState {
    /// Collecting the program headers.
    #[default]
    Head,
    /// Collecting the path.
    Path {
        at: u64,
        length: usize,
        path: Vec<u8>,
    },
    Static,
    /// The headers are out of reach, or invalid.
    Unreadable,
}

impl LoaderScan {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let before = self.position;
        self.position += bytes.len() as u64;
        match &mut self.state {
            ScanState::Head => {
                self.head.extend_from_slice(bytes);
                if let Some(state) = read_headers(&self.head) {
                    self.state = state;
                    let head = std::mem::take(&mut self.head);
                    collect(&mut self.state, 0, &head);
                }
            }
            state => collect(state, before, bytes),
        }
    }

    /// The loader; `None` for a static executable.
    pub(super) fn finish(self) -> Result<Option<LoaderPath>, NotExecutable> {
        match self.state {
            // A file that ends before its headers cannot run, and asks for no loader.
            ScanState::Static | ScanState::Head => Ok(None),
            ScanState::Path { length, path, .. } if path.len() == length => {
                let text = path.strip_suffix(b"\0").and_then(|path| str::from_utf8(path).ok());
                let loader = text.and_then(|text| text.parse().ok());
                loader.map(Some).ok_or(NotExecutable::Loader)
            }
            ScanState::Path { .. } | ScanState::Unreadable => Err(NotExecutable::Loader),
        }
    }
}

/// Adds the bytes at `position` that belong to the path.
fn collect(state: &mut ScanState, position: u64, bytes: &[u8]) {
    let ScanState::Path { at, length, path } = state else { return };
    let next = *at + path.len() as u64;
    let Some(skip) = next.checked_sub(position).and_then(|skip| usize::try_from(skip).ok()) else { return };
    let rest = bytes.get(skip..).unwrap_or_default();
    path.extend_from_slice(&rest[..rest.len().min(*length - path.len())]);
}

/// `None` while `head` is too short.
fn read_headers(head: &[u8]) -> Option<ScanState> {
    let half = |at: usize| Some(u16::from_le_bytes(*head.get(at..)?.first_chunk()?));
    let (begin, size, count) = (long(head, 32)?, half(54)?, half(56)?);
    let end = usize::try_from(begin).ok().and_then(|at| at.checked_add(PROGRAM_HEADER * usize::from(count)));
    let Some(end) = end.filter(|end| *end <= MOST_HEAD && usize::from(size) == PROGRAM_HEADER) else {
        return Some(ScanState::Unreadable);
    };
    let table = head.get(end - PROGRAM_HEADER * usize::from(count)..end)?;
    let interpreter = table.chunks_exact(PROGRAM_HEADER).find(|header| header[..4] == [3, 0, 0, 0]);
    let Some(interpreter) = interpreter else { return Some(ScanState::Static) };
    let (at, length) = (long(interpreter, 8)?, long(interpreter, 32)?);
    let length = usize::try_from(length).ok().filter(|length| (2..=LONGEST_PATH).contains(length));
    Some(match length {
        Some(length) => ScanState::Path { at, length, path: Vec::new() },
        None => ScanState::Unreadable,
    })
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::{LoaderScan, NotExecutable};

    const LOADER: &[u8] = b"/lib/ld-own.so.1\0";

    /// An executable whose loader's path is at `at`, with a program header of type `kind`.
    fn executable(kind: u8, at: usize) -> Vec<u8> {
        let mut elf = vec![0; at + LOADER.len() + 10];
        elf[..4].copy_from_slice(b"\x7fELF");
        (elf[32], elf[54], elf[56]) = (64, 56, 1);
        elf[64] = kind;
        elf[72..80].copy_from_slice(&(at as u64).to_le_bytes());
        elf[96] = u8::try_from(LOADER.len()).expect("short");
        elf[at..at + LOADER.len()].copy_from_slice(LOADER);
        elf
    }

    fn scanned(elf: &[u8], piece: usize) -> Result<Option<String>, NotExecutable> {
        let mut scan = LoaderScan::default();
        elf.chunks(piece).for_each(|piece| scan.feed(piece));
        scan.finish().map(|loader| loader.map(|loader| loader.to_string()))
    }

    #[test]
    fn the_path_is_found_in_pieces_of_any_size() {
        for at in [120, 300, 70_000] {
            for piece in [1, 7, 64, 512, 65_536] {
                let found = scanned(&executable(3, at), piece);
                assert_eq!(found, Ok(Some("/lib/ld-own.so.1".to_owned())), "{at} in pieces of {piece}");
            }
        }
        assert_eq!(scanned(&executable(1, 200), 50), Ok(None));
    }

    #[test]
    fn invalid_headers_are_refused() {
        let changed = |at: usize, byte: u8| {
            let mut elf = executable(3, 200);
            elf[at] = byte;
            scanned(&elf, 100)
        };
        // e_phoff far away, e_phentsize, p_filesz 1, p_offset beyond the end, no NUL, a relative path.
        for (at, byte) in [(35, 9), (54, 55), (96, 1), (75, 1), (216, b'x'), (200, b'l')] {
            assert_eq!(changed(at, byte), Err(NotExecutable::Loader), "{byte} at {at}");
        }
        assert_eq!(scanned(&executable(3, 200)[..210], 100), Err(NotExecutable::Loader));
        assert_eq!(scanned(&executable(3, 200)[..100], 100), Ok(None));
    }
}
