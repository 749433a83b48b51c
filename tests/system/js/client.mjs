// Matrix clients under test control, one for each connection to the Unix socket that is named: one JSON command on a
// line, one JSON answer on a line, in any order, matched by `id`. A client ends with its connection, all of them with
// stdin. The packages are in the folder that NODE_TESTS names.

import { createRequire } from "node:module";
import net from "node:net";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

// The SDK waits up to ten seconds, by chance, before it backs a room key up.
const chance = Math.random;
Math.random = () => chance() / 50;
// stdout says when it is ready.
for (const name of ["log", "info", "debug", "trace", "warn"]) console[name] = console.error;

const packages = createRequire(path.join(process.env.NODE_TESTS, "package.json"));
const load = (name) => import(pathToFileURL(packages.resolve(name)).href);
const sdk = await load("matrix-js-sdk");
const api = await load("matrix-js-sdk/lib/crypto-api/index.js");

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function until(what, condition, seconds = 20) {
    const end = Date.now() + seconds * 1000;
    for (;;) {
        const value = await condition();
        if (value) return value;
        if (Date.now() > end) throw new Error(`waited ${seconds} s in vain for ${what}`);
        await pause(30);
    }
}

const phases = Object.fromEntries(Object.entries(api.VerificationPhase).map(([name, value]) => [value, name]));

function contentOf(event) {
    return {
        event_id: event.getId(),
        type: event.getType(),
        content: event.getContent(),
        is_encrypted: event.isEncrypted(),
        session_id: event.getWireContent().session_id ?? null,
        failure: event.isDecryptionFailure() ? String(event.decryptionFailureReason) : null,
        sender: event.getSender(),
    };
}

// One device of a user.
function device() {
    let client, crypto, password, verification, held;
    const storageKeys = {};

    // What goes to devices may be held back, and the SDK believes it sent.
    async function fetchFn(url, options) {
        if (!held || !String(url).includes("/sendToDevice/m.room.encrypted/")) return fetch(url, options);
        held.push(() => fetch(url, { ...options, signal: undefined }));
        return new Response("{}", { status: 200, headers: { "Content-Type": "application/json" } });
    }

    async function joined(room) {
        return until(`room ${room}`, () => {
            const found = client.getRoom(room);
            return found?.getMyMembership() === "join" && found;
        });
    }

    function authorise(makeRequest) {
        const user = client.getUserId();
        return makeRequest({ type: "m.login.password", identifier: { type: "m.id.user", user }, password });
    }

    // One verification at a time: what became of it so far.
    function follow(request) {
        const state = { request, error: null, sas: null, verifying: false };
        verification = state;
        const look = () => {
            const verifier = request.verifier;
            if (verifier && !state.verifying) {
                state.verifying = true;
                verifier.on(api.VerifierEvent.ShowSas, (sas) => (state.sas = sas));
                verifier.verify().catch((error) => (state.error = String(error?.message ?? error)));
            }
        };
        request.on(api.VerificationRequestEvent.Change, look);
        look();
    }

    function verificationState() {
        if (!verification) return { phase: null };
        const { request, error, sas } = verification;
        return {
            phase: phases[request.phase],
            transaction_id: request.transactionId ?? null,
            other_device: request.otherDeviceId ?? null,
            cancellation_code: request.cancellationCode,
            error,
            emoji: sas?.sas.emoji ?? null,
            decimal: sas?.sas.decimal ?? null,
        };
    }

    const commands = {
        async login({ base_url, user_id, password: word, device_name, has_threads = false }) {
            password = word;
            const identifier = { type: "m.id.user", user: user_id };
            const body = { type: "m.login.password", identifier, password, initial_device_display_name: device_name };
            const answer = await fetch(`${base_url}/_matrix/client/v3/login`, {
                method: "POST",
                body: JSON.stringify(body),
            });
            const told = await answer.json();
            if (!answer.ok) throw new Error(JSON.stringify(told));
            client = sdk.createClient({
                baseUrl: base_url,
                userId: told.user_id,
                deviceId: told.device_id,
                accessToken: told.access_token,
                fetchFn,
                cryptoCallbacks: {
                    async getSecretStorageKey({ keys }) {
                        const id = Object.keys(keys).find((each) => storageKeys[each]);
                        return id ? [id, storageKeys[id]] : null;
                    },
                    cacheSecretStorageKey: (id, _info, key) => (storageKeys[id] = key),
                },
            });
            await client.initRustCrypto({ useIndexedDB: false });
            crypto = client.getCrypto();
            client.on(api.CryptoEvent.VerificationRequestReceived, follow);
            await client.startClient({ initialSyncLimit: 20, pollTimeout: 10000, threadSupport: has_threads });
            await until("the first sync", () => client.isInitialSyncComplete());
            return { user_id: told.user_id, device_id: told.device_id };
        },

        // Cross-signing, secret storage and key backup, as a first client sets them up.
        async bootstrap({ passphrase, replace }) {
            const key = await crypto.createRecoveryKeyFromPassphrase(passphrase);
            await crypto.bootstrapCrossSigning({
                authUploadDeviceSigningKeys: authorise,
                setupNewCrossSigning: !!replace,
            });
            await crypto.bootstrapSecretStorage({
                createSecretStorageKey: async () => key,
                setupNewSecretStorage: !!replace,
                setupNewKeyBackup: true,
            });
            await crypto.checkKeyBackupAndEnable();
            return {
                recovery_key: key.encodedPrivateKey,
                master_key: await crypto.getCrossSigningKeyId(api.CrossSigningKey.Master),
                backup_version: await crypto.getActiveSessionBackupVersion(),
            };
        },

        // A new identity, whose private keys stay in this client.
        async reset_cross_signing() {
            await crypto.bootstrapCrossSigning({ authUploadDeviceSigningKeys: authorise, setupNewCrossSigning: true });
            return { master_key: await crypto.getCrossSigningKeyId(api.CrossSigningKey.Master) };
        },

        async create_room({ name, invite = [], is_direct = false, is_encrypted = true, ...options }) {
            const content = { algorithm: "m.megolm.v1.aes-sha2" };
            const encryption = { type: "m.room.encryption", state_key: "", content };
            const initial_state = is_encrypted ? [encryption] : [];
            const made = await client.createRoom({
                name,
                invite,
                is_direct,
                initial_state,
                preset: "private_chat",
                ...options,
            });
            await joined(made.room_id);
            // Before that a text would go out as it is.
            if (is_encrypted) await until("encryption", () => crypto.isEncryptionEnabledInRoom(made.room_id));
            return made.room_id;
        },
        async join({ room }) {
            await client.joinRoom(room);
            const found = await joined(room);
            if (found.hasEncryptionStateEvent()) {
                await until("encryption", () => crypto.isEncryptionEnabledInRoom(room));
            }
            return null;
        },
        // Until this client knows that the members are in the room, and so sends them keys.
        async wait_members({ room, count }) {
            const found = await joined(room);
            await until(`${count} members`, () => found.getJoinedMemberCount() >= count);
            return null;
        },

        async send({ room, body, mentions, content = {} }) {
            await joined(room);
            const about = mentions ? { "m.mentions": { user_ids: mentions } } : {};
            return (await client.sendMessage(room, { msgtype: "m.text", body, ...about, ...content })).event_id;
        },
        async edit({ room, event_id, body, mentions }) {
            const about = mentions ? { "m.mentions": { user_ids: mentions } } : {};
            const content = {
                "msgtype": "m.text",
                "body": `* ${body}`,
                ...about,
                "m.new_content": { msgtype: "m.text", body, ...about },
                "m.relates_to": { rel_type: "m.replace", event_id },
            };
            return (await client.sendMessage(room, content)).event_id;
        },
        async react({ room, event_id, key }) {
            const content = { "m.relates_to": { rel_type: "m.annotation", event_id, key } };
            return (await client.sendEvent(room, "m.reaction", content)).event_id;
        },
        async redact({ room, event_id }) {
            return (await client.redactEvent(room, event_id)).event_id;
        },
        async read({ room, event_id, kind = "m.read", is_unthreaded = false }) {
            const event = await until(event_id, () => client.getRoom(room)?.findEventById(event_id));
            await client.sendReadReceipt(event, kind, is_unthreaded);
            return null;
        },
        // How much this client shows as unread: outside of threads under "main", and in each of these threads.
        async unread({ room, threads }) {
            const found = await joined(room);
            const counts = threads.map((root) => [root, found.getThreadUnreadNotificationCount(root)]);
            return { main: found.getRoomUnreadNotificationCount(), ...Object.fromEntries(counts) };
        },
        // The next message gets a new Megolm session.
        async rotate({ room }) {
            await crypto.forceDiscardSession(room);
            return null;
        },
        async hold_keys() {
            held = [];
            return null;
        },
        // How many messages to devices were held.
        async release_keys() {
            const late = held;
            held = null;
            for (const send of late) await send();
            return late.length;
        },
        // MSC4153: keys only for devices that their owners have signed.
        async only_signed_devices({ enabled }) {
            const mode = enabled ? new api.OnlySignedDevicesIsolationMode() : new api.AllDevicesIsolationMode(false);
            crypto.setDeviceIsolationMode(mode);
            return null;
        },
        // The event as this client reads it, once it is there and decrypted (or was tried in vain).
        async wait_event({ room, event_id, seconds }) {
            const event = await until(
                `event ${event_id}`,
                () => client.getRoom(room)?.findEventById(event_id),
                seconds,
            );
            await until(`decryption of ${event_id}`, () => !event.isEncrypted() || event.getClearContent(), seconds);
            return contentOf(event);
        },
        // The latest text from a sender whose body holds `body`.
        async wait_text({ room, sender, body, seconds }) {
            const event = await until(
                `text ${body}`,
                () => {
                    const events = client.getRoom(room)?.getLiveTimeline().getEvents() ?? [];
                    const isIt = (each) => each.getSender() === sender && each.getContent().body?.includes(body);
                    return events.findLast(isIt);
                },
                seconds,
            );
            return contentOf(event);
        },

        // How this client sees a device, asked of the homeserver anew.
        async device_status({ user, device }) {
            const devices = (await crypto.getUserDeviceInfo([user], true)).get(user);
            const status = await crypto.getDeviceVerificationStatus(user, device);
            return {
                is_known: !!devices?.has(device),
                signed_by_owner: !!status?.signedByOwner,
                cross_signing_verified: !!status?.crossSigningVerified,
                is_verified: !!status?.isVerified(),
            };
        },
        // How this client sees its own device after another of the user's clients signed it, or did not.
        async wait_device_status({ user, device, seconds, ...wanted }) {
            return until(
                `device ${device} to be ${JSON.stringify(wanted)}`,
                async () => {
                    const status = await commands.device_status({ user, device });
                    return Object.entries(wanted).every(([name, value]) => status[name] === value) && status;
                },
                seconds,
            );
        },
        async wait_backed_up({ room, session, seconds = 30 }) {
            const version = await crypto.getActiveSessionBackupVersion();
            const where = [room, ...(session ? [session] : [])].map(encodeURIComponent).join("/");
            const url = `${client.baseUrl}/_matrix/client/v3/room_keys/keys/${where}?version=${version}`;
            const headers = { Authorization: `Bearer ${client.getAccessToken()}` };
            await until(
                "the key backup",
                async () => {
                    const answer = await fetch(url, { headers });
                    const told = await answer.json();
                    return answer.ok && (session ? told.session_data : Object.keys(told.sessions ?? {}).length);
                },
                seconds,
            );
            return version;
        },

        async request_verification({ device }) {
            const user = client.getUserId();
            await until(`device ${device}`, async () => {
                return (await crypto.getUserDeviceInfo([user], true)).get(user)?.has(device);
            });
            verification = null;
            follow(await crypto.requestDeviceVerification(user, device));
            return verificationState();
        },
        // Asks all other devices of the user, as a client does that has just signed in.
        async request_own_verification() {
            verification = null;
            follow(await crypto.requestOwnUserVerification());
            return verificationState();
        },
        async forget_verification() {
            verification = null;
            return null;
        },
        async wait_verification_request({ seconds }) {
            await until("a verification request", () => verification, seconds);
            return verificationState();
        },
        async accept_verification() {
            await verification.request.accept();
            return verificationState();
        },
        async start_sas() {
            await until("readiness", () => verification.request.phase >= api.VerificationPhase.Ready);
            if (verification.request.phase !== api.VerificationPhase.Ready) return verificationState();
            await verification.request.startVerification("m.sas.v1");
            return verificationState();
        },
        async wait_emoji({ seconds }) {
            await until("the emoji", () => verification?.sas || verification?.error, seconds);
            return verificationState();
        },
        async confirm_emoji() {
            await verification.sas.confirm();
            return null;
        },
        async mismatch_emoji() {
            verification.sas.mismatch();
            return null;
        },
        async cancel_verification() {
            await verification.request.cancel();
            return null;
        },
        async wait_verification_phase({ phase, seconds }) {
            await until(`phase ${phase}`, () => verificationState().phase === phase, seconds);
            return verificationState();
        },
        async verification_state() {
            return verificationState();
        },

        async access_token() {
            return client.getAccessToken();
        },
        async stop() {
            client?.stopClient();
            return null;
        },
    };
    return commands;
}

async function obey(commands, socket, line) {
    const { id, command, ...options } = JSON.parse(line);
    const answer = (told) => socket.destroyed || socket.write(JSON.stringify(told) + "\n");
    try {
        answer({ id, result: (await commands[command](options)) ?? null });
    } catch (error) {
        answer({ id, error: String(error?.stack ?? error).slice(0, 2000) });
    }
}

const server = net.createServer((socket) => {
    const commands = device();
    readline.createInterface({ input: socket }).on("line", (line) => obey(commands, socket, line));
    socket.on("error", () => {});
    socket.on("close", () => commands.stop());
});

process.on("unhandledRejection", (error) => console.error("unhandled:", error));
process.stdin.resume().on("end", () => process.exit(0));
server.listen(process.argv[2], () => process.stdout.write("ready\n"));
