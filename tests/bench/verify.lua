-- Svix's scheme inside nginx, with OpenSSL through LuaJIT's ffi: the fastest way that nginx has. Returns 400 where a header is
-- missing, 401 where the timestamp is off or no signature fits; what returns from here goes to the app.
local ffi = require("ffi")
local bit = require("bit")

ffi.cdef([[
typedef struct hmac_ctx_st HMAC_CTX;
typedef struct evp_md_st EVP_MD;
const EVP_MD *EVP_sha256(void);
HMAC_CTX *HMAC_CTX_new(void);
int HMAC_Init_ex(HMAC_CTX *ctx, const void *key, int len, const EVP_MD *md, void *engine);
int HMAC_Update(HMAC_CTX *ctx, const char *data, size_t len);
int HMAC_Final(HMAC_CTX *ctx, unsigned char *md, unsigned int *len);
]])

local C = ffi.C
local key = ngx.decode_base64(os.getenv("WEBHOOK_KEY"))
local context = C.HMAC_CTX_new()
assert(C.HMAC_Init_ex(context, key, #key, C.EVP_sha256(), nil) == 1)
local digest = ffi.new("unsigned char[32]")

-- Nothing here yields, so one context serves every request of the worker. Without a key, the old one's state is used again.
local function mac(id, timestamp, body)
  local prefix = id .. "." .. timestamp .. "."
  C.HMAC_Init_ex(context, nil, 0, nil, nil)
  C.HMAC_Update(context, prefix, #prefix)
  C.HMAC_Update(context, body, #body)
  C.HMAC_Final(context, digest, nil)
  return ngx.encode_base64(ffi.string(digest, 32))
end

local function equal(a, b)
  if #a ~= #b then
    return false
  end
  local difference = 0
  for i = 1, #a do
    difference = bit.bor(difference, bit.bxor(a:byte(i), b:byte(i)))
  end
  return difference == 0
end

return function(path)
  local var = ngx.var
  if var.uri ~= path then
    return
  end
  if var.request_method ~= "POST" then
    return ngx.exit(405)
  end
  local id, timestamp, signatures = var.http_svix_id, var.http_svix_timestamp, var.http_svix_signature
  if not (id and timestamp and signatures and timestamp:find("^%d+$")) then
    return ngx.exit(400)
  end
  if math.abs(ngx.time() - tonumber(timestamp)) > 300 then
    return ngx.exit(401)
  end
  ngx.req.read_body()
  local expected = mac(id, timestamp, ngx.req.get_body_data() or "")
  for signature in signatures:gmatch("%S+") do
    if signature:sub(1, 3) == "v1," and equal(signature:sub(4), expected) then
      return
    end
  end
  return ngx.exit(401)
end
