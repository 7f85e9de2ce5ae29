// Makes a picture with comfy-ui-client: listens, posts, reads the history.
import { readFileSync } from 'node:fs'
import { ComfyUIClient } from 'comfy-ui-client'

const [url, graph, folder] = process.argv.slice(2)
const client = new ComfyUIClient(new URL(url).host, crypto.randomUUID())
await client.connect()
const images = await client.getImages(JSON.parse(readFileSync(graph)))
await client.saveImages(images, folder)
await client.disconnect()
