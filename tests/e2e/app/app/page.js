import Image from "next/image";
import Link from "next/link";

export default function Home() {
  return (
    <main>
      <h1>home</h1>
      <Image src="/logo.png" alt="" width={16} height={16} />
      <Link href="/about">about</Link>
    </main>
  );
}
