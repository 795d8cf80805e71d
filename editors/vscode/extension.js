// Starts `ttsc lsp` and connects VS Code to it. All that is known of the language is in the server and in the grammar.

"use strict";

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

async function start() {
  const [command, ...args] = vscode.workspace.getConfiguration("ttsc").get("server.command");
  const documentSelector = [
    { scheme: "file", language: "tts" },
    { scheme: "untitled", language: "tts" },
  ];
  client = new LanguageClient("ttsc", "ttsc", { command, args }, { documentSelector });
  try {
    await client.start();
  } catch (error) {
    const hint = "Install it with: pip install 'ttsc[lsp]', or set ttsc.server.command.";
    vscode.window.showErrorMessage(`ttsc: '${command}' could not be started. ${hint} (${error.message ?? error})`);
  }
}

async function stop() {
  const running = client;
  client = undefined;
  if (running?.isRunning()) {
    await running.stop();
  }
}

async function activate(context) {
  const restart = async () => {
    await stop();
    await start();
  };
  context.subscriptions.push(
    vscode.commands.registerCommand("ttsc.restart", restart),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("ttsc.server")) {
        return restart();
      }
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
