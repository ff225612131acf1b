import "./style.css";
import { showLobby } from "./lobby";

const app = document.getElementById("app") as HTMLElement;
showLobby(app);
