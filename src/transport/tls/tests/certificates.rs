//! Files of certificates and keys, what certificates say, and the first one.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::address::Secret;

fn load(options: &ServerTlsOptions) -> Result<ServerTls, String> {
    ServerTls::new(options, now()).map_err(|error| error.to_string())
}

#[test]
fn together_apart_and_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (pair, other) = (self_signed(&params(&["a"])), self_signed(&params(&["b"])));
    load(&server_options(pair.save(directory.path(), "both.pem"))).unwrap();
    fs::write(path("cert.pem"), &pair.cert).unwrap();
    fs::write(path("key.pem"), &pair.key).unwrap();
    fs::write(path("other.pem"), &other.key).unwrap();
    fs::write(path("empty.pem"), "").unwrap();
    fs::write(
        path("broken.pem"),
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let with = |cert: &str, key: Option<&str>| ServerTlsOptions {
        key: key.map(path),
        ..server_options(path(cert))
    };
    load(&with("cert.pem", Some("key.pem"))).unwrap();
    let keyed = ServerTlsOptions {
        cert: None,
        ..with("cert.pem", Some("key.pem"))
    };
    for (options, expected) in [
        (keyed, "--ssl-cert"),
        (with("cert.pem", None), "--ssl-key"),
        (with("cert.pem", Some("other.pem")), "is not that of"),
        (with("empty.pem", None), "no certificate"),
        (with("broken.pem", Some("key.pem")), "broken.pem"),
        (with("nowhere.pem", None), "nowhere.pem"),
        (with("/dev/zero", None), "too large"),
    ] {
        let error = load(&options).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn keys_that_openssl_encrypted() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for algorithm in ["rsa:2048", "ec"] {
        let mut arguments =
            words("req -x509 -passout pass:sesame -keyout old.pem -out cert.pem -subj /CN=localhost");
        arguments.extend(["-newkey", algorithm]);
        if algorithm == "ec" {
            arguments.extend(["-pkeyopt", "ec_paramgen_curve:prime256v1"]);
        }
        let convert =
            "pkcs8 -topk8 -v2 aes-256-cbc -in old.pem -out key.pem -passin pass:sesame -passout pass:sesame";
        if !openssl::run(directory.path(), &arguments) || !openssl::run(directory.path(), &words(convert)) {
            return;
        }
        let mut options = ServerTlsOptions {
            key: Some(path("key.pem")),
            ..server_options(path("cert.pem"))
        };
        assert!(load(&options).unwrap_err().contains("--ssl-key-password"));
        options.key_password = Some(Secret::new("wrong"));
        let error = load(&options).unwrap_err();
        assert!(error.contains("does not open"), "{error}");
        options.key_password = Some(Secret::new("sesame"));
        load(&options).unwrap();
    }
    let traditional =
        "rsa -in old.pem -out traditional.pem -aes128 -traditional -passin pass:sesame -passout pass:sesame";
    let make = "genrsa -out old.pem -passout pass:sesame -aes128 2048";
    assert!(
        openssl::run(directory.path(), &words(make)) && openssl::run(directory.path(), &words(traditional))
    );
    let options = ServerTlsOptions {
        key: Some(path("traditional.pem")),
        key_password: Some(Secret::new("sesame")),
        ..server_options(path("cert.pem"))
    };
    let error = load(&options).unwrap_err();
    assert!(error.contains("openssl pkcs8"), "{error}");
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

#[test]
fn what_a_certificate_says() {
    let mut params = params(&["localhost", "127.0.0.1", "::1"]);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "\u{1b}[31mred\u{202e}");
    let pair = self_signed(&params);
    let directory = tempfile::tempdir().unwrap();
    let server = load(&server_options(pair.save(directory.path(), "cert.pem"))).unwrap();
    let facts = server.certificate();
    assert_eq!(facts.names, ["localhost", "127.0.0.1", "::1"]);
    assert!(facts.subject.contains("?[31mred?"), "{}", facts.subject);
    assert!(facts.is_self_signed && !facts.is_authority);
    assert_eq!(
        (facts.days_left(now()), facts.days_left(now() + DAY * 19 / 2)),
        (0, -9)
    );
    assert_eq!(facts.fingerprint.hex().len(), 95);
    assert_eq!(facts.fingerprint.to_string().len(), "SHA256:".len() + 43);
}

#[test]
fn the_first_certificate_is_made_and_then_found() {
    let directory = tempfile::tempdir().unwrap();
    let keep = directory.path().join("config/ssl");
    let mut options = ServerTlsOptions {
        places: Places {
            search: vec![directory.path().join("nowhere"), keep.clone()],
            keep: Some(keep.clone()),
            hostname: "host.example".to_owned(),
        },
        ..ServerTlsOptions::default()
    };
    let made = load(&options).unwrap();
    assert_eq!(*made.file(), keep.join("ssl-cert.pem"));
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(made.file()), mode(&keep)), (0o600, 0o700));
    assert_eq!(fs::read_dir(&keep).unwrap().count(), 1);
    let facts = made.certificate();
    assert_eq!(facts.subject, "CN=localhost");
    assert_eq!(facts.names, ["localhost", "host.example", "127.0.0.1", "::1"]);
    assert_eq!(facts.days_left(now()), 3649);

    assert_eq!(load(&options).unwrap().certificate(), facts);

    let other = self_signed(&params(&["localhost"]));
    fs::create_dir(directory.path().join("nowhere")).unwrap();
    fs::write(directory.path().join("nowhere/cert.pem"), &other.cert).unwrap();
    // not without its key
    assert_eq!(load(&options).unwrap().certificate(), facts);
    fs::write(directory.path().join("nowhere/key.pem"), &other.key).unwrap();
    assert_ne!(load(&options).unwrap().certificate(), facts);

    options.places = Places {
        search: Vec::new(),
        keep: Some(PathBuf::from("/proc/ssl")),
        ..options.places
    };
    assert!(load(&options).unwrap_err().contains("--ssl-cert"));
    options.places.keep = None;
    assert!(load(&options).unwrap_err().contains("--ssl-cert"));
}
