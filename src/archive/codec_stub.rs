//! stub
use bytes::Bytes;
/// e
#[derive(Debug, thiserror::Error)]
#[error("could not decompress data: stub")]
pub struct DecodeError;
/// d
pub struct Decoder;
impl Decoder {
    /// n
    pub fn new(_: crate::pg::CompressionFormat) -> Result<Self, DecodeError> {
        Err(DecodeError)
    }
    /// h
    pub fn handle<E: From<DecodeError>>(
        &mut self,
        _: Bytes,
        _: &mut impl FnMut(Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        Ok(())
    }
    /// f
    pub fn finish(self) -> Result<(), DecodeError> {
        Ok(())
    }
}
