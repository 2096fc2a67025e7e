#!/usr/bin/env bash
# Makes the certificates of the tests: an authority, a server's and a second server's by it, and a foreign authority.
# They last until 2126 and protect nothing.
set -euo pipefail
cd "$(dirname "$0")"
authority() { # FILE NAME
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  openssl req -x509 -new -key "$1.key" -sha256 -days 36500 -subj "/CN=$2" -out "$1.pem" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign"
}
leaf() { # FILE NAME SAN
  openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1.key"
  openssl req -new -key "$1.key" -subj "/CN=$2" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.pem -CAkey ca.key -CAcreateserial -sha256 -days 36500 -out "$1.pem" \
    -extfile <(printf 'subjectAltName=%s\nbasicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\n' "$3")
}
authority ca "hookward tests"
authority other-ca "hookward tests, another authority"
leaf server localhost "DNS:localhost,DNS:app.internal,DNS:lists.test,IP:127.0.0.1,IP:::1"
leaf renewed localhost "DNS:localhost,DNS:renewed.internal,IP:127.0.0.1,IP:::1"
rm -f -- *.csr *.srl ca.key other-ca.key
