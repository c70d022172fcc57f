//! What users may say, and what is refused.

use data_encoding::{BASE64, HEXLOWER};

use super::*;
use crate::transport::tls::files;

fn terms(change: impl Fn(&mut Policy)) -> Result<Vec<String>, String> {
    let mut policy = Policy::default();
    change(&mut policy);
    let terms = policy.terms().map_err(|error| error.to_string())?;
    let suites = terms.provider.cipher_suites.iter();
    let suites = suites.filter(|suite| terms.versions.contains(&suite.version()));
    Ok(suites
        .map(|suite| suite.suite().as_str().unwrap().to_owned())
        .collect())
}

#[test]
fn ciphers() {
    let select = |list: &'static str| terms(|policy| policy.ciphers = list.to_owned());
    let all = select("DEFAULT").unwrap();
    assert_eq!(all.len(), 9);
    assert_eq!(select("").unwrap().len(), 3);
    for same in [
        "HIGH:!aNULL:!MD5",
        "ALL:@SECLEVEL=2",
        "ECDHE+AESGCM:ECDHE+CHACHA20:!SHA1",
    ] {
        let mut suites = select(same).unwrap();
        suites.sort();
        let mut all = all.clone();
        all.sort();
        assert_eq!(suites, all, "{same}");
    }
    let one = select("ECDHE-RSA-AES256-GCM-SHA384").unwrap();
    assert!(
        one.contains(&"TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384".to_owned()) && one.len() == 4,
        "{one:?}"
    );
    assert_eq!(
        select("TLS_AES_128_GCM_SHA256").unwrap(),
        ["TLS13_AES_128_GCM_SHA256"]
    );
    assert!(
        select("DEFAULT:!CHACHA20")
            .unwrap()
            .iter()
            .all(|name| !name.starts_with("TLS_ECDHE") || !name.contains("CHACHA"))
    );
    for wrong in [
        "RC4-SHA",
        "DEFAULT:!NONSENSE",
        "+HIGH",
        "DEFAULT:!ALL:!TLS_AES_128_GCM_SHA256:!TLS_AES_256_GCM_SHA384:!TLS_CHACHA20_POLY1305_SHA256",
    ] {
        let error = select(wrong).unwrap_err();
        assert!(error.starts_with("ssl-ciphers="), "{error}");
    }
}

#[test]
fn versions_and_flags() {
    for (protocol, expected) in [
        ("TLS", Some(9)),
        ("auto", Some(9)),
        ("TLSv1_2", Some(6)),
        ("TLSv1.3", Some(3)),
        ("TLSv1_1", None),
        ("SSLv3", None),
        ("QUIC", None),
    ] {
        let suites = terms(|policy| policy.protocol = protocol.to_owned());
        assert_eq!(suites.ok().map(|suites| suites.len()), expected, "{protocol}");
    }
    for (options, expected) in [
        ("ALL,NO_COMPRESSION", Some(9)),
        ("NO_SSLv3,NO_TLSv1,NO_TLSv1_1,NO_TLSv1_2", Some(3)),
        ("NO_TLSv1_2,NO_TLSv1_3", None),
        ("ALLOW_UNSAFE_LEGACY_RENEGOTIATION", None),
    ] {
        let suites = terms(|policy| policy.options = options.to_owned());
        assert_eq!(suites.ok().map(|suites| suites.len()), expected, "{options}");
    }
    for (flags, is_fine) in [
        ("X509_STRICT", true),
        ("", true),
        ("X509_STRICT,CRL_CHECK_LEAF", false),
        ("X", false),
    ] {
        assert_eq!(
            terms(|policy| policy.verify_flags = flags.to_owned()).is_ok(),
            is_fine,
            "{flags}"
        );
    }
}

#[test]
fn data_in_every_coding() {
    let pem = self_signed(&params(&["a"])).cert;
    let (hex, base64) = (HEXLOWER.encode(pem.as_bytes()), BASE64.encode(pem.as_bytes()));
    for value in [
        pem.clone(),
        hex.clone(),
        format!("0x{hex}"),
        base64.clone(),
        format!("b64:{base64}"),
        format!("base64:{base64}"),
    ] {
        assert_eq!(files::data(&value).unwrap().len(), 1, "{value}");
    }
    for value in ["", "zz", "0xzz", "b64:!", "616263"] {
        assert!(files::data(value).is_err(), "{value}");
    }
}

#[test]
fn sockets_and_addresses_override() {
    let bind = "0.0.0.0:14500,ssl-cert=/c,ssl-client-verify-mode=required,ssl-ca-certs=/a,ssl-protocol=TLSv1_3,\
                ssl-mode=www,ssl-server-verify-mode=none,auth=file";
    let bind = Bind::parse(TransportKind::Ssl, bind, DEFAULT_MIN_PORT).unwrap();
    let with_key = ServerTlsOptions {
        key: Some("/k".into()),
        ..ServerTlsOptions::default()
    };
    let options = with_key.with(&bind.options).unwrap();
    assert_eq!(options.key, None);
    assert_eq!(options.cert, Some(PathBuf::from("/c")));
    assert_eq!(options.client_verify_mode, VerifyMode::Required);
    assert_eq!(options.ca_certs, CaCerts::Path("/a".into()));
    assert_eq!(options.policy.protocol, "TLSv1_3");

    let address: Address =
        "ssl://h/?ssl_server_verify_mode=none&ssl-check-hostname=no&ssl-server-hostname=x&\
                            strict-host-check=yes&ssl-cert=auto"
            .parse()
            .unwrap();
    let options = ClientTlsOptions::default().with(&address.options).unwrap();
    assert_eq!(options.server_verify_mode, VerifyMode::None);
    assert_eq!(options.host_check, HostCheck::Yes);
    assert_eq!(options.server_hostname.as_deref(), Some("x"));
    assert!(!options.check_hostname && options.cert.is_none());

    for query in [
        "ssl-server-verify-mode=perhaps",
        "ssl-cret=x",
        "strict-host-check=perhaps",
        "ssl-check-hostname=",
    ] {
        let address: Address = format!("ssl://h/?{query}").parse().unwrap();
        assert!(
            ClientTlsOptions::default().with(&address.options).is_err(),
            "{query}"
        );
    }
}
