//! Certificates for these tests.

use std::fs;

use anyhow::Result;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SignatureAlgorithm,
};

use crate::server::Server;

/// A certificate authority.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(algorithm: &'static SignatureAlgorithm) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate_for(algorithm)?)?))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate with this common name, and returns it with its key.
    pub(crate) fn issue(&self, common_name: &str, names: &[&str]) -> Result<(Certificate, KeyPair)> {
        let key = KeyPair::generate()?;
        let names = names.iter().map(|name| (*name).to_owned());
        let mut params = CertificateParams::new(names.collect::<Vec<_>>())?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Ok((params.signed_by(&key, &self.0)?, key))
    }
}

impl Server {
    /// Gives the server a certificate, and lets it trust the clients of `clients`.
    pub(crate) fn use_certificate(&self, certificate: &str, key: &str, clients: &Authority) -> Result<()> {
        let directory = self.postgres.data();
        fs::write(directory.join("server.crt"), certificate)?;
        fs::write(directory.join("clients.crt"), clients.pem())?;
        let key_file = directory.join("server.key");
        if key_file.exists() {
            fs::write(key_file, key)?;
        } else {
            self.scratch.secret_file(&format!("{}/server.key", directory.display()), key)?;
        }
        self.postgres.configure(&["ssl = on", "ssl_ca_file = 'clients.crt'"])?;
        // A reload takes effect in the postmaster at some time; a restart has taken effect when it returns.
        self.postgres.stop()?;
        self.postgres.start()
    }

    /// Gives the server a certificate of this authority for `localhost`.
    pub(crate) fn certify(&self, authority: &Authority) -> Result<()> {
        let (certificate, key) = authority.issue("server", &["localhost"])?;
        self.use_certificate(&certificate.pem(), &key.serialize_pem(), authority)
    }
}
