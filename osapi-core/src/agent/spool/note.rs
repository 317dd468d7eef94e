//! What a file says of itself, at its beginning: what is certain of its stream at any moment, for whoever finds it after a crash.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use super::layout::Extent;

/// Bytes of the note: a boot id and four numbers in big endian. The stream is behind it.
pub(super) const LEN: u64 = 16 + 4 * 8;

/// Since when the machine runs (random(4)). What was not synced before is not to be believed now.
static BOOT: LazyLock<[u8; 16]> = LazyLock::new(|| {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().parse().map(uuid::Uuid::into_bytes).unwrap_or_default()
});

/// Notes what is certain from now on.
pub(super) fn write(file: &File, extent: Extent) -> io::Result<()> {
    let Extent { total, kept, head, ring } = extent;
    let mut bytes = [0; LEN as usize];
    bytes[..16].copy_from_slice(&*BOOT);
    bytes[16..].copy_from_slice([total, kept, head, ring].map(u64::to_be_bytes).as_flattened());
    file.write_all_at(&bytes, 0)
}

/// What was noted, and whether the machine has run ever since.
pub(super) fn read(file: &File) -> io::Result<(Extent, bool)> {
    let mut boot = [0; 16];
    file.read_exact_at(&mut boot, 0)?;
    let mut numbers = [[0; 8]; 4];
    file.read_exact_at(numbers.as_flattened_mut(), 16)?;
    let [total, kept, head, ring] = numbers.map(u64::from_be_bytes);
    Ok((Extent { total, kept, head, ring }, boot == *BOOT))
}
