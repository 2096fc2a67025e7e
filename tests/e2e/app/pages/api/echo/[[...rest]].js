import { echo } from "../../../hooks/echo.js";

export const config = { api: { bodyParser: false } };

export default echo;
