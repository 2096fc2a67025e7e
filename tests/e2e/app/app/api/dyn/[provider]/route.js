import { everyMethod } from "../../../../hooks/app-route.js";

export const { GET, POST, PUT, PATCH, DELETE } = everyMethod("/api/dyn");
