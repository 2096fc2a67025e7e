export function getServerSideProps() {
  return { props: { made: "on the server" } };
}

export default function About({ made }) {
  return <h1>about, {made}</h1>;
}
