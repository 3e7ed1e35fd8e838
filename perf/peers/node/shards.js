// shards.js - runs a server once per shard: alone in this process, or a cluster of workers.
'use strict';
const cluster = require('node:cluster');

// `listen` starts it.  A worker that ends takes the whole server with it: nothing is hidden.
module.exports = function shards(count, listen) {
    if (count === 1 || cluster.isWorker) {
        listen();
        return;
    }
    for (let i = 0; i < count; i++)
        cluster.fork();
    cluster.on('exit', (worker, code) => {
        console.error(`a worker has ended: ${code}`);
        process.exit(1);
    });
};
