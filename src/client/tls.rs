//! Trust: system roots, a CA of one's own, client certificates.

use crate::scenario::target::{HttpVersion, Tls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why no TLS connection can be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A PEM file cannot be read.
    #[error("{key}: {}: {source}\n  expected a PEM file\nhint: a relative path starts at the scenario's folder", path.display())]
    Read {
        /// Which key of the scenario.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file holds no usable PEM section.
    #[error("{key}: {}: this file cannot be used: {reason}\n  expected a PEM file with {what}", path.display())]
    Pem {
        /// Which key of the scenario.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What should have been in it.
        what: &'static str,
        /// What the parser said.
        reason: String,
    },
    /// One of certificate and key is missing.
    #[error("target.tls: cert and key belong together, and only one of them is given")]
    HalfAnIdentity,
    /// The system trusts nobody and no CA was given.
    #[error("target.tls: this machine has no trusted certificate authorities\nhint: install ca-certificates, or name one in target.tls.ca")]
    NoRoots,
    /// The parts do not fit together.
    #[error("target.tls: {0}")]
    Refused(#[from] rustls::Error),
}

/// What stands for a version of HTTP in the TLS handshake (ALPN, RFC 7301).
#[must_use]
pub const fn protocol(http: HttpVersion) -> &'static [u8] {
    match http {
        HttpVersion::Http1 => b"http/1.1",
        HttpVersion::Http2 => b"h2",
    }
}

/// The settings of every TLS connection to the target: TLS 1.2 or 1.3, `http` and no other version, verified unless `insecure`.
pub fn config(tls: &Tls, base_dir: &Path, http: HttpVersion) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = if tls.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    } else {
        builder.with_root_certificates(roots(tls.ca.as_ref().map(|path| base_dir.join(path)))?)
    };
    let mut config = match (&tls.cert, &tls.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let (chain, key) = (certificates("target.tls.cert", &base_dir.join(cert))?, private_key(&base_dir.join(key))?);
            builder.with_client_auth_cert(chain, key)?
        }
        _ => return Err(Error::HalfAnIdentity),
    };
    config.alpn_protocols = vec![protocol(http).to_vec()];
    Ok(config)
}

/// The system's authorities and those of `ca`. What of the system's store cannot be parsed is left out, as browsers do.
fn roots(ca: Option<PathBuf>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        for certificate in certificates("target.tls.ca", &path)? {
            roots.add(certificate).map_err(|fault| Error::Pem {
                key: "target.tls.ca",
                path: path.clone(),
                what: "a certificate authority",
                reason: fault.to_string(),
            })?;
        }
    }
    if roots.is_empty() { Err(Error::NoRoots) } else { Ok(roots) }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Read { key, path: path.to_owned(), source })
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let refuse = |reason: String| Error::Pem { key, path: path.to_owned(), what: "a certificate", reason };
    let text = read(key, path)?;
    let found = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, pem::Error>>().map_err(|fault| refuse(fault.to_string()))?;
    if found.is_empty() { Err(refuse("it holds none".to_owned())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let key = "target.tls.key";
    let text = read(key, path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|fault| Error::Pem {
        key,
        path: path.to_owned(),
        what: "an unencrypted private key",
        reason: fault.to_string(),
    })
}

/// Accepts every certificate, for `insecure = true` alone. Signatures of the handshake are still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(tls: &Tls, base: &Path) -> String {
        config(tls, base, HttpVersion::Http1).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_key_and_file() {
        let base = tempfile::tempdir().unwrap();
        std::fs::write(base.path().join("empty.pem"), "").unwrap();
        let ca = |name: &str| Tls { ca: Some(name.into()), ..Tls::default() };
        let missing = refusal(&ca("missing.pem"), base.path());
        assert!(missing.contains("target.tls.ca") && missing.contains("missing.pem"), "{missing}");
        let empty = refusal(&ca("empty.pem"), base.path());
        assert!(empty.contains("empty.pem") && empty.contains("a certificate"), "{empty}");
        let half = Tls { cert: Some("empty.pem".into()), insecure: true, ..Tls::default() };
        assert!(refusal(&half, base.path()).contains("belong together"));
        let key = Tls { key: Some("empty.pem".into()), ..half };
        assert!(refusal(&key, base.path()).contains("target.tls.cert"));
    }

    #[test]
    fn without_verification_no_root_is_needed() {
        assert!(config(&Tls { insecure: true, ..Tls::default() }, Path::new("/"), HttpVersion::Http2).is_ok());
    }
}
