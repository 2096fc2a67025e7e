// The shell is ready at once, the rest after 1.5 s.
import { Suspense } from "react";

export const dynamic = "force-dynamic";

async function Late() {
  await new Promise((next) => setTimeout(next, 1500));
  return <p>late part</p>;
}

export default function Stream() {
  return (
    <main>
      <h1>shell</h1>
      <Suspense fallback={<p>waiting</p>}>
        <Late />
      </Suspense>
    </main>
  );
}
