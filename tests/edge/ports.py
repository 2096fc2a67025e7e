"""Every port of the tests, by what listens there."""

# In the pod: the app.
APP, APP_TLS = 3000, 3443

# In the pod: hookward, one process a line.
PLAIN = 8080  # trusts nobody
PROXY = 8081  # PROXY protocol from the balancer
L7 = 8082  # trusts the balancers' x-forwarded-for
REAL_IP = 8083  # … or their x-real-ip
FORWARDED = 8084  # … or their forwarded
L7_PROXY = 8085  # trusts the first hop's x-forwarded-for, and the balancer's PROXY header names that hop
TLS_PROXY = 8443  # TLS of its own, behind the PROXY protocol
MANY_PLAIN, MANY_PROXY, MANY_TLS = 9001, 9002, 9003
CHECKED = 8090  # only ever called by HAProxy's health checks
UNIX, HTTPS, WRONG_CA = 8091, 8092, 8093  # the ways to the app

# At the balancer: HAProxy.
H_TCP, H_V1, H_V2, H_ACROSS, H_MISSING = 7001, 7002, 7003, 7004, 7005
H_HTTP, H_HTTP_UNTRUSTED, H_HTTP_V2 = 7011, 7012, 7013
H_HOP_V2, H_HOP_HTTP, H_HOP_STREAM = 7021, 7022, 7023
H_TLS, H_TLS_PASSED, H_MANY = 7031, 7032, 7033

# At the balancer: nginx.
N_FOR, N_REAL_IP, N_FORWARDED, N_STREAM = 7101, 7102, 7103, 7104
N_HOP_V2, N_HOP_HTTP, N_HOP_STREAM = 7111, 7112, 7113

# At the balancer: nft.
NFT_PLAIN, NFT_MASQUERADE = 7201, 7202
