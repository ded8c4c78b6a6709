//! Puts TLS on a connection.

use std::{
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls::{
    ClientConfig, ConfigBuilder, WantsVerifier,
    client::WantsClientCert,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    certificate,
    endpoint::Endpoint,
    verifier::{Trusted, Verifier, problem},
};
use crate::{
    printable,
    replication::{
        conninfo::{
            ClientCertificate, ConnInfoError, Host, Roots, SslMode, SslNegotiation, TlsSettings, TlsVersion,
        },
        error::ReplicationError,
        wire::Transport,
    },
};

/// The protocol's name in TLS. Servers before version 17 ignore it.
const ALPN: &[u8] = b"postgresql";

const DOING: &str = "beginning TLS";

/// More than any file of certificates has.
const MOST_BYTES: u64 = 16 << 20;

/// The settings of TLS, to be used for several connections.
#[derive(Debug, Clone)]
pub(super) struct Tls(TlsSettings);

/// A connection, which has TLS if the server supports it.
pub(super) struct Secured {
    pub(super) transport: Transport,
    /// The hash of the server's certificate that authentication can be bound to.
    pub(super) end_point: Option<Vec<u8>>,
}

impl Tls {
    pub(super) fn new(settings: &TlsSettings) -> Self {
        Self(settings.clone())
    }

    /// Negotiates TLS. If the server doesn't support it, the connection is returned without, unless TLS is required.
    pub(super) async fn secure(
        &self,
        mut stream: TcpStream,
        host: &Host,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Result<Secured, ReplicationError> {
        let failed = |problem: String| ReplicationError::Tls { host: endpoint.to_string(), problem };
        if self.0.negotiation == SslNegotiation::Postgres {
            let answer = timeout(limit, ask(&mut stream))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            match answer.map_err(|error| failed(error.to_string()))? {
                b'S' => {}
                b'N' if self.0.mode < SslMode::Require => {
                    return Ok(Secured { transport: Transport::Tcp(stream), end_point: None });
                }
                b'N' => return Err(failed("server does not support SSL, but SSL was required".to_owned())),
                other => {
                    return Err(failed(format!("received invalid response to SSL negotiation: {other:#x}")));
                }
            }
        }
        let config = self.client_config(host)?;
        let name = self.server_name(host, &stream)?;
        let handshake = TlsConnector::from(Arc::new(config)).connect(name, stream);
        let stream = timeout(limit, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|error| failed(problem(&error)))?;
        self.check_protocol(&stream).map_err(failed)?;
        let certificate =
            stream.get_ref().1.peer_certificates().and_then(|certificates| certificates.first());
        let end_point = certificate.and_then(|certificate| certificate::end_point(certificate));
        Ok(Secured { transport: Transport::Tls(Box::new(stream)), end_point })
    }

    /// Without negotiation, only the protocol's name shows that another service's answer isn't taken for a server's.
    fn check_protocol(&self, stream: &TlsStream<TcpStream>) -> Result<(), String> {
        match stream.get_ref().1.alpn_protocol() {
            None if self.0.negotiation == SslNegotiation::Direct => {
                Err("direct SSL connection was established without ALPN protocol negotiation extension"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }

    /// Returns the name that is sent and verified. If nothing is verified by it, the address may stand in for it.
    fn server_name(&self, host: &Host, stream: &TcpStream) -> Result<ServerName<'static>, ReplicationError> {
        let name = host.name.clone().and_then(|name| ServerName::try_from(name).ok());
        match (name, self.0.mode) {
            (Some(name), _) => Ok(name),
            (None, SslMode::VerifyFull) => {
                Err(unusable("host name must be specified for a verified SSL connection".to_owned()))
            }
            (None, _) => {
                let address =
                    stream.peer_addr().map_err(|source| ReplicationError::Lost { doing: DOING, source })?;
                Ok(ServerName::IpAddress(address.ip().into()))
            }
        }
    }

    fn client_config(&self, host: &Host) -> Result<ClientConfig, ReplicationError> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = match (self.0.oldest, self.0.newest) {
            (TlsVersion::V12, TlsVersion::V12) => &[&TLS12],
            (TlsVersion::V12, TlsVersion::V13) => &[&TLS13, &TLS12],
            (TlsVersion::V13, _) => &[&TLS13],
        };
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions);
        let builder = builder.map_err(|error| unusable(error.to_string()))?;
        let builder = self.verified(builder, provider, host)?;
        let mut config = match &self.0.client {
            Some(client) => with_certificate(builder, client)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.enable_sni = self.0.sends_name;
        Ok(config)
    }

    fn verified(
        &self,
        builder: ConfigBuilder<ClientConfig, WantsVerifier>,
        provider: Arc<CryptoProvider>,
        host: &Host,
    ) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, ReplicationError> {
        let trusted = match &self.0.roots {
            Some(Roots::System) => {
                let verifier = rustls_platform_verifier::Verifier::new(provider);
                let verifier = verifier.map_err(|error| unusable(error.to_string()))?;
                return Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)));
            }
            Some(Roots::File(file)) => Some(self.trusted(file)?),
            None => None,
        };
        let name = host.name.clone().filter(|_| self.0.mode == SslMode::VerifyFull);
        let verifier = Verifier::new(trusted, name, &provider);
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)))
    }
}

impl Tls {
    fn trusted(&self, file: &Path) -> Result<Trusted, ReplicationError> {
        if let Some(revoked) = &self.0.revoked {
            let setting = format!("sslcrl (the file {})", printable(revoked.as_os_str().as_encoded_bytes()));
            return Err(ConnInfoError::Unsupported { setting }.into());
        }
        if !file.exists() {
            return Err(unusable(format!(
                "root certificate file \"{}\" does not exist; provide the file, use the system's trusted roots with \
                 sslrootcert=system, or change sslmode to disable server certificate verification",
                printable(file.as_os_str().as_encoded_bytes())
            )));
        }
        Ok(Trusted::new(certificates(file)?))
    }
}

/// Asks for TLS, and returns the answer. Only this byte is read: what follows it unencrypted is part of the handshake,
/// and makes it fail.
async fn ask(stream: &mut TcpStream) -> io::Result<u8> {
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    stream.write_all(&request).await?;
    stream.read_u8().await
}

fn with_certificate(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    client: &ClientCertificate,
) -> Result<ClientConfig, ReplicationError> {
    let chain = certificates(&client.certificate)?;
    let key = private_key(&client.key)?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        let path = client.certificate.as_os_str().as_encoded_bytes();
        unusable(format!("can't use the certificate in \"{}\": {error}", printable(path)))
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ReplicationError> {
    let pem = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(unusable(format!(
            "there is no certificate in PEM form in \"{}\"",
            printable(path.as_os_str().as_encoded_bytes())
        ))),
    }
}

/// Reads a key, which others must not be able to read.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, ReplicationError> {
    let shown = printable(path.as_os_str().as_encoded_bytes());
    if !path.exists() {
        return Err(unusable(format!("certificate present, but not private key file \"{shown}\"")));
    }
    let pem = read(path)?;
    let metadata = std::fs::metadata(path).map_err(|error| file_error(path, error))?;
    // As libpq and the server do it: the group may read root's.
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(unusable(format!(
            "private key file \"{shown}\" has group or world access; file must have permissions u=rw (0600) or less if \
             owned by the current user, or permissions u=rw,g=r (0640) or less if owned by root"
        )));
    }
    if String::from_utf8_lossy(&pem).contains("ENCRYPTED") {
        let setting = format!("sslpassword (the key in {shown} is encrypted)");
        return Err(ConnInfoError::Unsupported { setting }.into());
    }
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| unusable(format!("there is no private key in PEM form in \"{shown}\"")))
}

fn read(path: &Path) -> Result<Vec<u8>, ReplicationError> {
    // Opening a pipe could block forever.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(unusable(format!(
            "\"{}\" is not a regular file",
            printable(path.as_os_str().as_encoded_bytes())
        )));
    }
    let mut content = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut content));
    read.map_err(|error| file_error(path, error))?;
    Ok(content)
}

fn file_error(path: &Path, source: io::Error) -> ReplicationError {
    ConnInfoError::File { path: path.to_owned(), source }.into()
}

fn unusable(problem: String) -> ReplicationError {
    ConnInfoError::Value(problem).into()
}
