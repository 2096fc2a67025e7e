import { cookies } from "next/headers";

async function save(form) {
  "use server";
  (await cookies()).set("saved", String(form.get("word")));
}

export default async function Action() {
  return (
    <form action={save}>
      <input name="word" />
    </form>
  );
}
