"""Two authorities, and a server's certificate of the first one. Made anew for each run; nobody else trusts them."""

import subprocess


def make(work):
    """Into a folder: ca.pem, other-ca.pem, leaf.pem, leaf.key, and both of the leaf in leaf-and-key.pem."""
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    for name in ("ca", "other-ca"):
        _openssl(*new, "-x509", "-days", "2", "-subj", f"/CN=edge {name}", "-keyout", f"{work}/{name}.key",
                 "-out", f"{work}/{name}.pem")
    _openssl(*new, "-subj", "/CN=hook.test", "-keyout", f"{work}/leaf.key", "-out", f"{work}/leaf.csr")
    (work / "leaf.ext").write_text("subjectAltName=DNS:hook.test,DNS:app.internal\nbasicConstraints=CA:FALSE\n")
    _openssl("x509", "-req", "-in", f"{work}/leaf.csr", "-CA", f"{work}/ca.pem", "-CAkey", f"{work}/ca.key",
             "-set_serial", "1", "-days", "2", "-extfile", f"{work}/leaf.ext", "-out", f"{work}/leaf.pem")
    (work / "leaf-and-key.pem").write_text((work / "leaf.pem").read_text() + (work / "leaf.key").read_text())


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
