import { hook } from "../../../hooks/pages-route.js";

export const config = { api: { bodyParser: false } };

export default hook("/api/popt");
