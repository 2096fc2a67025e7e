// In a route group: the path is /api/grouped.
import { everyMethod } from "../../../../hooks/app-route.js";

export const { GET, POST, PUT, PATCH, DELETE } = everyMethod("/api/grouped");
