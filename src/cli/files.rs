//! Files: read with an error that names them, written whole or not at all.

use super::exit::{Exit, Failure};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

/// Reads a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, what: &str, limit: u64) -> Result<Vec<u8>, Failure> {
    let failed = |e: &std::io::Error| Failure::new(Exit::Usage, format!("cannot read {what} {}: {e}", path.display()));
    let file = File::open(path).map_err(|e| failed(&e))?;
    let meta = file.metadata().map_err(|e| failed(&e))?;
    if meta.is_dir() {
        return Err(Failure::new(Exit::Usage, format!("cannot read {what} {}: it is a folder", path.display())));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large, also where no size is known beforehand.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::new(Exit::Usage, format!("{what} {} is larger than {} MiB", path.display(), limit >> 20))
            .with_hint(format!("is this really a {what}?")));
    }
    Ok(bytes)
}

/// Opens a file for streaming.
pub(crate) fn open(path: &Path, what: &str) -> Result<File, Failure> {
    let file = File::open(path).map_err(|e| Failure::new(Exit::Usage, format!("cannot read {what} {}: {e}", path.display())))?;
    match file.metadata() {
        Ok(meta) if meta.is_dir() => Err(Failure::new(Exit::Usage, format!("cannot read {what} {}: it is a folder", path.display()))),
        _ => Ok(file),
    }
}

/// Writes a file beside its final place and moves it there: readers see the old one or the new one, whole.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_with(path, |out| out.write_all(bytes))
}

/// The same, for content that is made while it is written.
pub(crate) fn write_with(path: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<(), Failure> {
    let failed = |e: &std::io::Error| unwritable(path, e);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new().prefix(".plimsoll-").tempfile_in(folder).map_err(|e| failed(&e))?;
    fill(temporary.as_file_mut()).map_err(|e| failed(&e))?;
    temporary.as_file_mut().flush().map_err(|e| failed(&e))?;
    // Temporary files are private; results are as readable as any file the user makes.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    temporary.as_file().set_permissions(mode).map_err(|e| failed(&e))?;
    temporary.persist(path).map_err(|e| failed(&e.error))?;
    Ok(())
}

/// Makes a folder and its parents.
pub(crate) fn make_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(path).map_err(|e| unwritable(path, &e))
}

/// The failure for a place that cannot be written.
pub(crate) fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    let hint = match error.kind() {
        std::io::ErrorKind::StorageFull => {
            "the disk is full; what was recorded before stays readable: `plimsoll report RUN` recovers it once there is room"
        }
        std::io::ErrorKind::PermissionDenied => "choose a folder you may write to with --out",
        _ => "choose another folder with --out",
    };
    Failure::new(Exit::Unwritable, format!("cannot write {}: {error}", path.display())).with_hint(hint)
}
