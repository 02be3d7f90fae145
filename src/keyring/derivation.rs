//! Deriving bytes from a key: the only file that knows which hash it is.

use hkdf::Hkdf;
use sha2::Sha256;

/// Bytes that HKDF with SHA-256 derives from a key, for one purpose.
#[expect(clippy::expect_used, reason = "HKDF gives up to 8,160 bytes, and nobody asks for more than 32")]
pub(super) fn expand(key: &[u8; 32], info: &[&[u8]], bytes: &mut [u8]) {
    Hkdf::<Sha256>::new(None, key).expand_multi_info(info, bytes).expect("it is short");
}
