// echo.js PORT SHARDS - sends back what it receives, on node:net; a client that does not read is not
// read from.
'use strict';
const net = require('node:net');
const shards = require('./shards.js');

if (process.argv.length !== 4) {
    console.error('usage: node echo.js PORT SHARDS');
    process.exit(2);
}
const [port, count] = [Number(process.argv[2]), Number(process.argv[3])];

function serve(socket) {
    socket.on('error', () => socket.destroy());
    socket.pipe(socket);
}

shards(count, () => {
    const server = net.createServer({ noDelay: true }, serve);
    server.listen({ port, host: '127.0.0.1', backlog: 4096 });
});
