// The one app directory is the root, whatever other lock files lie above it.
export default { turbopack: { root: import.meta.dirname } };
